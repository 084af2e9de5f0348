"""What each bucket's own past lets expect of it. Pure.

Users differ widely, and a bucket keeps its users. What a bucket did while everyone was still on the
baseline tells its harmless peculiarity apart from harm. The idea is CUPED's (Deng, Xu, Kohavi,
Walker 2013); here the past is the prior of a Gamma law for the bucket's rate of events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from changeover.analysis.sequential.buckets import Counts, Reals

FEWEST_PAST_EVENTS = 5
"""With fewer events the past says too little of the usual share."""
LEAST_STRENGTH, MOST_STRENGTH = 0.05, 5.0
USUAL_STRENGTH = 0.5
"""Shape of the spread between buckets while nobody knows it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A Gamma law of each bucket's rate: shape `events`, rate `requests`.

    Args:
        events: Past events and the prior's, shape (10_000,), above 0.
        requests: Past requests and the prior's, shape (10_000,), above 0.
        share: Usual share of events over all buckets, 0..1.
        strength: Shape of the prior: small where buckets differ much.
    """

    events: Reals
    requests: Reals
    share: float
    strength: float

    @property
    def shares(self) -> Reals:
        """Each bucket's expected share of events, shape (10_000,)."""
        return self.events / self.requests


def expect(counts: Counts, past: Counts) -> Expected:
    """Return what is expected of each bucket.

    Only sums over both systems are used, so that nothing here depends on the split.

    Args:
        counts: What happened in the stage; used only for the usual share where the past has too
            few events to tell.
        past: What happened before it, while everyone was on the baseline.
    """
    known = past
    if not is_enough(past):
        known = past + counts
    # Half an event more than there was: a share of 0 could not be divided by.
    share = float((known.events.sum() + 0.5) / (known.requests.sum() + 1.0))
    strength = _strength(known, share)
    events: Reals = past.events.astype(np.float64) + strength
    requests: Reals = past.requests.astype(np.float64) + strength / share
    return Expected(events, requests, share, strength)


def is_enough(past: Counts) -> bool:
    """Whether the past has enough events to tell the usual share without the stage."""
    return bool(past.events.sum() >= FEWEST_PAST_EVENTS)


def _strength(known: Counts, share: float) -> float:
    """Return the shape of the spread between buckets: moment estimate of the variance of shares.

    The variance of a bucket's events beyond what chance makes of equal shares, divided by the
    squared requests, is the variance between buckets.
    """
    requests = known.requests.astype(np.float64)
    squares = float((requests * requests).sum())
    if not squares or known.events.sum() < FEWEST_PAST_EVENTS:
        return USUAL_STRENGTH
    by_chance = share * (1 - share) * requests
    between = float((((known.events - share * requests) ** 2) - by_chance).sum()) / squares
    strength = share * share / max(between, share * share / MOST_STRENGTH)
    return min(max(strength, LEAST_STRENGTH), MOST_STRENGTH)
