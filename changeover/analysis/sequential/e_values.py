"""E-values of a split: how much more likely the data are if the candidate is worse. Pure.

If which system answers changes nothing, everything that a bucket does is fixed whatever system it
gets, and only the split is chance: each bucket is the candidate's with the share q. Then, for any
numbers T that depend on the buckets' sums but not on the split, the product over the buckets of

    e^T of the candidate's buckets / (1 − q + q e^T)

has a mean of at most 1, so that it exceeds x with a chance of at most 1/x (Markov, Ville 1939).
That holds whatever users are like; the choice of T only makes the value large where there is harm.

Two choices of T, both for a ratio R of the candidate's rate to the baseline's:

- *first errors*: log R for a bucket with any event. At most one event of a bucket counts, so that a
  few users with thousands of errors are not thousands of reasons. Read at any time: the products
  form a supermartingale (the conditional Bernoulli form of Lindon, Malek 2022, of first events).
- *tilt*: the likelihood ratio of all events of a bucket whose rate has a Gamma law. Exact at each
  single reading; over time it was measured, not proven, and is therefore charged double.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.sequential.buckets import Counts, Reals
from changeover.analysis.sequential.expected import Expected

FIRST_RATIOS = (2.0, 3.0, 5.0, 10.0)
FIRST_ADDED = (1.0, 2.0, 4.0, 10.0)
"""Rates that are added to everyone's, as multiples of the usual share: they tell little of who
always errs, and much of who never did."""
MOST_TILT = 30.0
"""Beyond it one bucket alone would decide."""


def first_errors(
    counts: Counts, expected: Expected, is_candidate: NDArray[np.bool_], share: float
) -> Reals:
    """Return the logarithms of the e-values of first errors, one for each kind of harm, shape (8,).

    Args:
        counts: Sums of the stage.
        expected: What is expected of each bucket.
        is_candidate: Whether each bucket is the candidate's, shape (10_000,).
        share: The candidate's share of first errors if there is no harm, 0..1: that of the
            buckets, or more where the margin allows some harm.
    """
    hit = counts.events > 0
    added = expected.share / expected.shares[hit]
    mine = is_candidate[hit]
    tilts = [np.full(mine.shape, math.log(ratio)) for ratio in FIRST_RATIOS]
    tilts += [np.log1p(times * added) for times in FIRST_ADDED]
    return np.array([_log_e(tilt, mine, share) for tilt in tilts])


def tilted(
    counts: Counts, expected: Expected, is_candidate: NDArray[np.bool_],
    share: float, ratios: Sequence[float],
) -> Reals:
    """Return the logarithms of the e-values of all events, one for each ratio, shape (n_ratios,).

    Without any event, or any request, they are 0: nothing was learned.

    Args:
        counts: Sums of the stage.
        expected: What is expected of each bucket.
        is_candidate: Whether each bucket is the candidate's, shape (10_000,).
        share: The candidate's share of the buckets, 0..1.
        ratios: Ratios R of the candidate's rate to the baseline's.
    """
    seen = counts.requests > 0
    events = counts.events[seen].astype(np.float64)
    foreseen = float((expected.shares[seen] * counts.requests[seen]).sum())
    if not events.sum() or not foreseen:
        return np.zeros(len(ratios))
    # What happened to everybody at once (an incident, the hour of the day) is taken out.
    times = float(events.sum()) / foreseen
    shape = expected.events[seen] + events
    prior = expected.requests[seen]
    load = times * counts.requests[seen]
    mine = is_candidate[seen]
    found = []
    for ratio in ratios:
        tilt = events * math.log(ratio) - shape * np.log1p((ratio - 1) * load / (prior + load))
        found.append(_log_e(np.minimum(tilt, MOST_TILT), mine, share))
    return np.array(found)


def _log_e(tilt: Reals, mine: NDArray[np.bool_], share: float) -> float:
    """Return the logarithm of the product of a split's factors."""
    return float(tilt[mine].sum() - np.log1p(share * np.expm1(tilt)).sum())


def log_mean(logs: Reals) -> float:
    """Return the logarithm of the mean of numbers that are given by their logarithms."""
    highest = float(np.max(logs))
    return highest + math.log(float(np.exp(logs - highest).mean()))


def log_weighted(parts: Sequence[tuple[float, float]]) -> float:
    """Return the logarithm of Σ weight · e^log of (weight, log)."""
    highest = max(log for _, log in parts)
    return highest + math.log(sum(weight * math.exp(log - highest) for weight, log in parts))
