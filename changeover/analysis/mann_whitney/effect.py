"""How large a difference between two series is, by three measures. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from enum import StrEnum
from statistics import fmean

from changeover.analysis.mann_whitney.values import summary


class Effect(StrEnum):
    """The measure of an effect."""

    MEAN_RATIO = "mean_ratio"
    CLES = "cles"
    """Common language effect size: how often a value of the candidate is the larger one."""
    COHEN_D = "cohen_d"


NO_EFFECT = {Effect.MEAN_RATIO: 1.0, Effect.CLES: 0.5, Effect.COHEN_D: 0.0}
"""What each measure says of two equal series."""


def effect_size(measure: Effect, baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return the size of the effect; NaN where the measure does not know one."""
    if not baseline or not candidate:
        return math.nan
    return _MEASURES[measure](baseline, candidate)


def wins(baseline: Sequence[float], candidate: Sequence[float], shift: float = 0.0) -> float:
    """Return in how many pairs the candidate's value, less a shift, is larger; ties count half.

    Source: Mann and Whitney 1947, the statistic U.

    Args:
        baseline: Numbers in ascending order.
        candidate: Numbers in any order.
        shift: What is taken off each value of the candidate.
    """
    total = 0
    for value in candidate:
        moved = value - shift
        # Values below count twice, equal ones once: half a win each, in whole numbers.
        total += bisect_left(baseline, moved) + bisect_right(baseline, moved)
    return total / 2


def _mean_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    before, after = fmean(baseline), fmean(candidate)
    # From nothing to something is no multiple, and the way back is none either.
    return after / before if before and after else math.nan


def _cles(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Source: Vargha and Delaney 2000, the measure A."""
    pairs = len(baseline) * len(candidate)
    return wins(sorted(baseline), candidate) / pairs


def _cohen_d(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Source: Cohen 1988, with the pooled deviation of both samples."""
    before, after = summary(baseline), summary(candidate)
    freedom = before.count + after.count - 2
    squares = (before.count - 1) * before.deviation**2
    squares += (after.count - 1) * after.deviation**2
    # Without any spread a difference has no size in deviations.
    if freedom < 1 or not squares:
        return math.nan
    return (after.mean - before.mean) / math.sqrt(squares / freedom)


_MEASURES: dict[Effect, Callable[[Sequence[float], Sequence[float]], float]] = {
    Effect.MEAN_RATIO: _mean_ratio,
    Effect.CLES: _cles,
    Effect.COHEN_D: _cohen_d,
}
