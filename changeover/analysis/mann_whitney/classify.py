"""Whether a metric of the candidate is high, low, or as the baseline's. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean

from changeover.analysis.mann_whitney.effect import NO_EFFECT, Effect, effect_size
from changeover.analysis.mann_whitney.shift import (
    Shift,
    normal_quantile,
    shift_of,
    z_score,
)
from changeover.analysis.mann_whitney.values import NanStrategy, Preparation, prepare


class Direction(StrEnum):
    """In which direction a difference matters."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Classification(StrEnum):
    """What was found of a metric."""

    PASS = "Pass"  # noqa: S105  a classification, not a password
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL = "NodataFailMetric"
    """No data of a metric that must have some: fails its group, not the whole."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The effect from which on a difference counts; None is the measure's "no effect".

    Args:
        decrease: Low needs an effect of at most this.
        increase: High needs an effect of at least this.
    """

    decrease: float | None = None
    increase: float | None = None

    def is_reached(self, found: Classification, measure: Effect, effect: float) -> bool:
        """Whether an effect counts. One that is not known does: from none to some is much."""
        if math.isnan(effect):
            return True
        if found is Classification.HIGH:
            least = NO_EFFECT[measure] if self.increase is None else self.increase
            return effect >= least
        most = NO_EFFECT[measure] if self.decrease is None else self.decrease
        return effect <= most


@dataclass(frozen=True, slots=True)
class MetricRule:
    """How one metric is judged; the defaults are Kayenta's.

    Args:
        direction: Where a difference matters.
        tolerance: Share of the estimated shift that the test must exclude, 0 or more.
        confidence: Of the test, two-sided, 0..1.
        preparation: What becomes of missing values and outliers.
        effect: Measure of the effect.
        allowed: Effect from which on a difference is High or Low.
        critical: Effect from which on a failure of a critical metric is critical.
        is_critical: Whether a failure makes the whole score 0.
        must_have_data: Whether no data is a failure.

    Raises:
        ValueError: The tolerance or the confidence is out of its range.
    """

    direction: Direction = Direction.EITHER
    tolerance: float = 0.25
    confidence: float = 0.98
    preparation: Preparation = field(default_factory=Preparation)
    effect: Effect = Effect.MEAN_RATIO
    allowed: Limits = field(default_factory=Limits)
    critical: Limits = field(default_factory=Limits)
    is_critical: bool = False
    must_have_data: bool = False

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance {self.tolerance} must be 0 or more")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence {self.confidence} must be above 0 and below 1")


@dataclass(frozen=True, slots=True)
class Classified:
    """What was found of a metric, and why.

    Args:
        classification: Pass, High, Low, Nodata or NodataFailMetric.
        reason: One sentence.
        effect: Size of the effect; NaN where it has none.
        is_critical: Whether this failure is a critical one.
        shift: The shift and its interval; None where none was needed.
    """

    classification: Classification
    reason: str
    effect: float
    is_critical: bool = False
    shift: Shift | None = None


def classify(
    baseline: Sequence[float], candidate: Sequence[float], rule: MetricRule
) -> Classified:
    """Return what the rank test says of a metric.

    Args:
        baseline: The baseline's values, NaN where there is none.
        candidate: The candidate's.
        rule: How the metric is judged.
    """
    before = sorted(prepare(baseline, rule.preparation))
    after = sorted(prepare(candidate, rule.preparation))
    if not before or not after:
        whose = "candidate" if before else "baseline"
        return _without_data(whose, rule)
    # Kayenta passes these without a test; all equal, there is no shift to search for.
    if before == after:
        effect = NO_EFFECT[rule.effect]
        return Classified(Classification.PASS, "the values of both are identical", effect)
    return _tested(before, after, rule)


def classify_by_mean(baseline: Sequence[float], candidate: Sequence[float]) -> Classification:
    """Return which mean is larger, without any test: for a first look, never for a decision."""
    if not baseline or not candidate:
        return Classification.NODATA
    before, after = fmean(baseline), fmean(candidate)
    if before == after:
        return Classification.PASS
    return Classification.HIGH if after > before else Classification.LOW


def _without_data(whose: str, rule: MetricRule) -> Classified:
    missing = f"no data of the {whose}"
    # The plan says that no value means 0: two systems without any are alike.
    if rule.preparation.nan is NanStrategy.REPLACE:
        reason = f"{missing}, and what is missing is replaced"
        return Classified(Classification.PASS, reason, NO_EFFECT[rule.effect])
    is_critical = rule.is_critical
    if rule.must_have_data and not is_critical:
        reason = f"{missing}, which it must have"
        return Classified(Classification.NODATA_FAIL, reason, math.nan)
    return Classified(Classification.NODATA, missing, math.nan, is_critical=is_critical)


def _tested(before: list[float], after: list[float], rule: MetricRule) -> Classified:
    """Judge two series of numbers that differ."""
    shift = shift_of(before, after, rule.confidence)
    effect = effect_size(rule.effect, before, after)
    found = _direction_of(before, after, rule, shift)
    interval = f"between {shift.low:.6g} and {shift.high:.6g}"
    numbers = f"shift {shift.estimate:.6g}, {interval}; {rule.effect} {effect:.6g}"
    if found is None:
        reason = f"no difference is shown: {numbers}"
    elif not rule.allowed.is_reached(found, rule.effect, effect):
        reason = f"{found}, but the effect is allowed: {numbers}"
    else:
        is_reached = rule.critical.is_reached(found, rule.effect, effect)
        is_critical = rule.is_critical and is_reached
        return Classified(found, f"{found}: {numbers}", effect, is_critical, shift)
    return Classified(Classification.PASS, reason, effect, shift=shift)


def _direction_of(
    before: list[float], after: list[float], rule: MetricRule, shift: Shift
) -> Classification | None:
    """Return whether the test excludes every shift up to the tolerance; None when it does not.

    That is the same as an interval beyond the tolerance, but exact: the end of an interval has
    been searched for, and its last digits would decide where most values are equal.
    """
    # Kayenta's tolerance is a share of what was found, not of the baseline's value.
    margin = rule.tolerance * abs(shift.estimate)
    quantile = normal_quantile(rule.confidence)
    may_rise = rule.direction in (Direction.INCREASE, Direction.EITHER)
    may_fall = rule.direction in (Direction.DECREASE, Direction.EITHER)
    if may_rise and z_score(before, after, margin) > quantile:
        return Classification.HIGH
    if may_fall and z_score(before, after, -margin) < -quantile:
        return Classification.LOW
    return None
