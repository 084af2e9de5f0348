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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.sequential.buckets import Counts, Reals, Split
from changeover.analysis.sequential.expected import Expected

FIRST_RATIOS = (2.0, 3.0, 5.0, 10.0)
FIRST_ADDED = (1.0, 2.0, 4.0, 10.0)
"""Rates that are added to everyone's, as multiples of the usual share: they tell little of who
always errs, and much of who never did."""
MOST_TILT = 30.0
"""Beyond it one bucket alone would decide."""
_AT_ONCE = 16


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
    is_hit = counts.events > 0
    hits = int(np.count_nonzero(is_hit))
    hit = slice(None) if hits == len(is_hit) else np.flatnonzero(is_hit)
    mine = is_candidate[hit]
    own_hits = int(np.count_nonzero(mine))
    found = []
    for ratio in FIRST_RATIOS:  # the same for every bucket, so counting them is enough
        found.append(own_hits * math.log(ratio) - hits * math.log1p(share * (ratio - 1)))
    added = expected.share * (expected.requests[hit] / expected.events[hit])
    own_added = added[mine]
    for times in FIRST_ADDED:
        own = float(np.log1p(times * own_added).sum())
        found.append(own - log_product(1 + (share * times) * added))
    return np.array(found)


def tilted(
    counts: Counts, expected: Expected, split: Split, ratios: Sequence[float]
) -> Reals:
    """Return the logarithms of the e-values of all events, one for each ratio, shape (n_ratios,).

    Without any event, or any request, they are 0: nothing was learned.

    Args:
        counts: Sums of the stage.
        expected: What is expected of each bucket.
        split: Which buckets are the candidate's.
        ratios: Ratios R of the candidate's rate to the baseline's.
    """
    foreseen = float((expected.shares * counts.requests).sum())
    if not counts.events.any() or not foreseen:
        return np.zeros(len(ratios))
    # What happened to everybody at once (an incident, the hour of the day) is taken out.
    times = float(counts.events.sum()) / foreseen
    chosen = _worth_a_look(counts)
    events = counts.events[chosen].astype(np.float64)
    shape = expected.events[chosen] + events
    load = times * counts.requests[chosen]
    growth = load / (expected.requests[chosen] + load)
    mine = split.is_candidate[chosen].astype(np.float64)
    found = _Prior(events, shape, growth, mine)
    return np.array([found.tilt(ratio, split.share) for ratio in ratios])


def _worth_a_look(counts: Counts) -> NDArray[np.int64] | slice:
    """Return the buckets with requests, or all where most have some: the others add exactly 0."""
    if 2 * np.count_nonzero(counts.requests) > len(counts.requests):
        return slice(None)
    return np.flatnonzero(counts.requests)


@dataclass(frozen=True, slots=True)
class _Prior:
    """Buckets with the Gamma laws of their rates, after the stage; all of one shape.

    Args:
        events: Events of the stage.
        shape: The law's shape.
        growth: What part of the law's rate the stage is.
        mine: 1.0 for the candidate's buckets, 0.0 for others.
    """

    events: Reals
    shape: Reals
    growth: Reals
    mine: Reals

    def tilt(self, ratio: float, share: float) -> float:
        """Return the logarithm of the product of a split's factors."""
        # In place, since a stage may have fifty checks with several starts each. What is lost by
        # log instead of log1p is in the 16th digit of a bucket.
        tilt = self.growth * (ratio - 1)
        tilt += 1
        np.log(tilt, out=tilt)
        tilt *= self.shape
        np.subtract(self.events * math.log(ratio), tilt, out=tilt)
        if tilt.max() > MOST_TILT:
            np.minimum(tilt, MOST_TILT, out=tilt)
        own = float((tilt * self.mine).sum())
        np.exp(tilt, out=tilt)
        tilt *= share
        tilt += 1 - share
        return own - log_product(tilt)


def log_product(factors: Reals) -> float:
    """Return the logarithm of a product of numbers in 1e-19 … 1e19, by one logarithm for 16."""
    whole = len(factors) - len(factors) % _AT_ONCE
    products = np.multiply.reduce(factors[:whole].reshape(_AT_ONCE, -1), axis=0)
    return float(np.log(products).sum() + np.log(factors[whole:]).sum())


def log_mean(logs: Reals) -> float:
    """Return the logarithm of the mean of numbers that are given by their logarithms."""
    highest = float(np.max(logs))
    return highest + math.log(float(np.exp(logs - highest).mean()))


def log_weighted(parts: Sequence[tuple[float, float]]) -> float:
    """Return the logarithm of Σ weight · e^log of (weight, log)."""
    highest = max(log for _, log in parts)
    return highest + math.log(sum(weight * math.exp(log - highest) for weight, log in parts))
