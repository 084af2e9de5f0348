"""How many times the baseline's rate the candidate's is, with its interval (95 %). Pure.

It is shown beside the evidence and decides nothing: the evidence may be read at any time, an
interval is right for one reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.intervals import NORMAL
from changeover.analysis.sequential.buckets import Counts
from changeover.analysis.sequential.expected import expect


@dataclass(frozen=True, slots=True)
class Ratio:
    """The candidate's rate as a multiple of the baseline's at the same time.

    Args:
        value: The estimate; own past taken out.
        low, high: Its interval.
    """

    value: float
    low: float
    high: float

    def document(self) -> dict[str, Any]:
        """Return it for the evidence of a check."""
        return {"of": "ratio", "value": self.value, "low": self.low, "high": self.high}


def ratio_of(counts: Counts, past: Counts, chosen: NDArray[np.bool_]) -> Ratio | None:
    """Return the ratio of the two systems' rates; None where neither has any event.

    Each system's events are compared with what its buckets' own past lets expect of them. The
    variance is that of the buckets' sums, and at least Poisson's; half an event is added to both,
    so that none at all is no infinite ratio.

    Args:
        counts: Sums of the stage.
        past: Sums of the time before it.
        chosen: Whether each bucket is the candidate's.
    """
    # what each bucket would have had if it went on as before: who always errs is no harm
    foreseen = expect(counts, past).shares * counts.requests
    mine = _level(counts.events[chosen], foreseen[chosen])
    theirs = _level(counts.events[~chosen], foreseen[~chosen])
    if mine is None or theirs is None or not counts.events.any():
        return None
    value = mine[0] / theirs[0]
    # on the logarithm, so that a small ratio has no interval below 0
    reach = math.exp(NORMAL * math.sqrt(mine[1] + theirs[1]))
    return Ratio(value, value / reach, value * reach)


def spread_of(counts: Counts, chosen: NDArray[np.bool_]) -> float:
    """Return how many times the variance of buckets' events is that of independent requests.

    Args:
        counts: Sums of a stage.
        chosen: The buckets of one system.
    """
    requests, events = counts.requests[chosen], counts.events[chosen]
    total, bad = int(requests.sum()), int(events.sum())
    if not bad:
        return 1.0
    # a system whose buckets all have the same share has Poisson's variance, and no more
    residual = events - requests * (bad / total)
    return max(1.0, float((residual * residual).sum()) / bad)


def _level(
    events: NDArray[np.int64], foreseen: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Return a system's events as a multiple of the expected, and the variance of its logarithm."""
    expected, found = float(foreseen.sum()), int(events.sum())
    if not expected:
        return None
    residual = events - foreseen * (found / expected)
    # two buckets that agree by chance are no proof that all do
    variance = max(float((residual * residual).sum()), found + 0.5)
    return (found + 0.5) / expected, variance / (found + 0.5) ** 2
