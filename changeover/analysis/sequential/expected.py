"""What each bucket's own past lets expect of it. Pure.

Users differ widely, and a bucket keeps its users. What a bucket did while everyone was still on the
baseline tells its harmless peculiarity apart from harm. The idea is CUPED's (Deng, Xu, Kohavi,
Walker 2013); here the past is the prior of a Gamma law for the bucket's rate of events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    # both systems together, so that it does not depend on the split
    if not is_enough(past):
        known = past + counts
    share, strength = _usual(*_reals(known))
    requests, events = _reals(past)
    return Expected(events + strength, requests + strength / share, share, strength)


def _reals(counts: Counts) -> tuple[Reals, Reals]:
    return counts.requests.astype(np.float64), counts.events.astype(np.float64)


def is_enough(past: Counts) -> bool:
    """Whether the past has enough events to tell the usual share without the stage."""
    return bool(past.events.sum() >= FEWEST_PAST_EVENTS)


def with_history(
    past: Counts, usual: Expected, before: Counts, is_candidate: NDArray[np.bool_]
) -> Expected:
    """Return what is expected of each bucket at a later start: the stage before it tells, too.

    It tells which buckets have the events, not how many a system has: each system's are scaled to
    what the past lets expect of its buckets. So a candidate that was better for hours and then is
    as good as the baseline is not called worse.

    Args:
        past: What happened before the stage, while everyone was on the baseline.
        usual: What it lets expect.
        before: What happened in the stage before the start.
        is_candidate: Whether each bucket is the candidate's, shape (10_000,).
    """
    requests, events = _reals(before)
    foreseen = usual.shares * requests
    # each system apart: what the candidate did to its users before is taken out
    for arm in (is_candidate, ~is_candidate):
        seen = float(events[arm].sum())
        if not seen:
            return usual  # nobody can say which buckets of this system have them
        events[arm] *= float(foreseen[arm].sum()) / seen
    events += past.events
    requests += past.requests
    share, strength = _usual(requests, events)
    return Expected(events + strength, requests + strength / share, share, strength)


def _usual(requests: Reals, events: Reals) -> tuple[float, float]:
    """Return the usual share of events, and the shape of the spread between buckets."""
    # Half an event more than there was: a share of 0 could not be divided by.
    share = float((events.sum() + 0.5) / (requests.sum() + 1.0))
    return share, _strength(requests, events, share)


def _strength(requests: Reals, events: Reals, share: float) -> float:
    """Return the shape of the spread between buckets: moment estimate of the variance of shares.

    The variance of a bucket's events beyond what chance makes of equal shares, divided by the
    squared requests, is the variance between buckets.
    """
    squares = float((requests * requests).sum())
    if not squares or events.sum() < FEWEST_PAST_EVENTS:
        return USUAL_STRENGTH
    by_chance = share * (1 - share) * requests
    between = float((((events - share * requests) ** 2) - by_chance).sum()) / squares
    strength = share * share / max(between, share * share / MOST_STRENGTH)
    return min(max(strength, LEAST_STRENGTH), MOST_STRENGTH)
