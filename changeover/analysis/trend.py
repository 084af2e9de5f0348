"""Is a series of memory readings growing? Slope with confidence bounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from changeover.domain.verdict import Verdict

FEWEST = 12
WARM_UP_SHARE = 0.2
MOST_POINTS = 300
"""Medians of so many equal spans are compared: pairs grow with the square."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth in units a second: `slope` with its 95 % bounds, from `points` readings."""

    slope: float
    low: float
    high: float
    points: int


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Return the trend of readings without their first fifth, in which caches fill.

    The slope is the median of the slopes of all pairs, which single peaks (a garbage collection,
    a large request) do not move; its bounds are Kendall's. None with too few readings.

    Args:
        seconds: Times of the readings, shape (n,), growing.
        values: The readings, shape (n,).

    Source: P. K. Sen 1968, "Estimates of the regression coefficient based on Kendall's tau".
    """
    first = int(len(values) * WARM_UP_SHARE)
    x = np.asarray(seconds[first:], float)
    y = np.asarray(values[first:], float)
    if len(y) < FEWEST:
        return None
    if len(y) > MOST_POINTS:
        spans = np.array_split(np.arange(len(y)), MOST_POINTS)
        x = np.array([np.median(x[span]) for span in spans])
        y = np.array([np.median(y[span]) for span in spans])
    # A second to import, for soak checks only.
    from scipy import stats

    found = stats.theilslopes(y, x, 0.95)
    return Trend(float(found[0]), float(found[2]), float(found[3]), len(y))


def leak_verdict(found: Trend | None, *, allowed_per_second: float) -> Verdict:
    """Judge growth against what is allowed; bounds on both sides of it are inconclusive."""
    if found is None:
        return Verdict.INCONCLUSIVE
    if found.low > allowed_per_second:
        return Verdict.FAIL
    return Verdict.PASS if found.high <= allowed_per_second else Verdict.INCONCLUSIVE
