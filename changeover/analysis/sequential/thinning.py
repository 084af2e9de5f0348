"""Leaving out some of the candidate's events, so that a margin becomes equality. Pure.

If the candidate's rate is m times the baseline's, and each of its events is kept with the
probability 1/m, both systems' events have the same law. Which events are kept is drawn by a hash of
the bucket and the event's number in it, so that the same sums always keep the same events, and more
events never take back one that was kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.sequential.buckets import Counts, Numbers, Reals, Split
from changeover.domain.routing import BUCKETS

ONE_BY_ONE = 64
"""Events of a bucket that are drawn one by one; the rest is drawn as a whole."""


def thin(counts: Counts, split: Split, margin: float) -> Counts:
    """Return the counts with each event of the candidate kept with the probability 1/margin.

    Args:
        counts: Sums of the stage.
        split: Which buckets are the candidate's.
        margin: At least 1.
    """
    events = counts.events.copy()
    mine = np.flatnonzero(events[: split.weight])
    events[mine] = _kept(mine, events[mine], split.weight, 1 / margin)
    return Counts(counts.requests, events)


def _kept(buckets: Numbers, events: Numbers, weight: int, probability: float) -> Numbers:
    """Return how many of each bucket's events are kept."""
    single = np.minimum(events, ONE_BY_ONE)
    kept = _kept_of_first(weight, probability)[buckets, single].astype(np.int64)
    rest = events - single
    if rest.any():
        kept += _kept_of_many(buckets, rest, probability)
    return kept


@lru_cache(maxsize=32)  # a plan has a few margins; at half of the users one takes 325 kB
def _kept_of_first(weight: int, probability: float) -> NDArray[np.uint8]:
    """Return how many of each candidate bucket's first n events are kept, shape (weight, 65)."""
    numbers = np.arange(weight * ONE_BY_ONE)
    is_kept = _uniform(numbers // ONE_BY_ONE, numbers % ONE_BY_ONE) < probability
    kept = np.zeros((weight, ONE_BY_ONE + 1), np.uint8)
    np.cumsum(is_kept.reshape(weight, ONE_BY_ONE), axis=1, out=kept[:, 1:])
    return kept


def _kept_of_many(buckets: Numbers, events: Numbers, probability: float) -> Numbers:
    """Return how many are kept of many events: the binomial law's normal approximation.

    A bucket has one quantile for ever, so the number only grows with its events.
    """
    spread = np.sqrt(events * (probability * (1 - probability)))
    kept = np.rint(events * probability + _quantiles()[buckets] * spread).astype(np.int64)
    found: Numbers = np.clip(kept, 0, events)
    return found


@lru_cache(maxsize=1)
def _quantiles() -> Reals:
    """Return each bucket's normal quantile, shape (10_000,)."""
    return _normal(_uniform(np.arange(BUCKETS), np.full(BUCKETS, ONE_BY_ONE)))


def _uniform(buckets: Numbers, number: Numbers) -> Reals:
    """Return numbers in (0, 1) that a hash draws. Source: SplitMix64, Steele, Lea, Flood 2014."""
    with np.errstate(over="ignore"):
        state = (buckets.astype(np.uint64) << np.uint64(32)) + number.astype(np.uint64)
        state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def _normal(uniform: Reals) -> Reals:
    """Return the normal quantile, off by at most 0.0045.

    Source: Abramowitz, Stegun 1964, formula 26.2.23.
    """
    tail = np.minimum(uniform, 1 - uniform)
    t = np.sqrt(-2 * np.log(tail))
    found = t - (2.515517 + 0.802853 * t + 0.010328 * t * t) / (
        1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t**3)
    signed: Reals = np.where(uniform < 0.5, -found, found)
    return signed
