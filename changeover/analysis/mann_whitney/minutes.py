"""Judging a check by the single minutes of both systems, as Kayenta does. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from changeover.analysis.mann_whitney.classify import (
    Classification,
    Direction,
    Limits,
    MetricRule,
    classify,
)
from changeover.analysis.mann_whitney.effect import Effect
from changeover.analysis.mann_whitney.values import NanStrategy, Outliers, Preparation
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import FEWEST_MINUTES, CheckSpec
from changeover.plan.ranks import RanksSpec

METHOD = "mann_whitney 2"
"""Name and version of the method, for whoever recomputes a verdict."""

_VERDICTS = {
    Classification.PASS: Verdict.PASS,
    Classification.HIGH: Verdict.FAIL,
    Classification.LOW: Verdict.FAIL,
}
"""What is not here has no data, and is inconclusive."""


@dataclass(frozen=True, slots=True)
class Minutes:
    """A metric's value in each minute, of both systems; None where nothing was measured."""

    baseline: Sequence[float | None]
    candidate: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class MinutesFound:
    """What was found, and the document that reaches it again."""

    verdict: Verdict
    reason: str
    document: Mapping[str, Any]


def judge_by_minutes(check: CheckSpec, minutes: Minutes, samples: int, needed: int) -> MinutesFound:
    """Return the verdict of a check over single minutes.

    Args:
        check: A check with `test: mann_whitney`.
        minutes: The metric's values.
        samples: Samples of the system that has fewer of them.
        needed: How many it must have.
    """
    baseline, candidate = _known(minutes.baseline), _known(minutes.candidate)
    # The rule says what becomes of minutes without a value.
    found = classify(_all(minutes.baseline), _all(minutes.candidate), rule_of(check))
    # With every value: whoever doubts the verdict can compute it again from this alone.
    document = {
        "method": METHOD,
        "baseline": list(minutes.baseline),
        "candidate": list(minutes.candidate),
        "classification": str(found.classification),
        "is_critical": found.is_critical,
        "groups": list(check.ranks.groups) if check.ranks else [],
        "effect": None if math.isnan(found.effect) else found.effect,
        "shift": None if found.shift is None else asdict(found.shift),
    }
    metric = check.measured
    counts = f"{len(candidate)} minutes of the candidate and {len(baseline)} of the baseline"
    about = f"{metric.name} in {counts}"
    if samples < needed:
        reason = f"{about}: {samples} of at least {needed} samples"
        return MinutesFound(Verdict.INCONCLUSIVE, reason, document)
    if min(len(baseline), len(candidate)) < FEWEST_MINUTES:
        reason = f"{about}: each needs at least {FEWEST_MINUTES}"
        return MinutesFound(Verdict.INCONCLUSIVE, reason, document)
    verdict = _VERDICTS.get(found.classification, Verdict.INCONCLUSIVE)
    return MinutesFound(verdict, f"{about}: {found.reason}", document)


def rule_of(check: CheckSpec) -> MetricRule:
    """Return how Kayenta would be asked: the ratio is the effect size that is allowed."""
    ratio, asked = check.bound_values[0], check.ranks or RanksSpec()
    increase, decrease = asked.allowed_increase, asked.allowed_decrease
    # Only of a ratio of means does the plan's ratio say which effect is allowed.
    if asked.effect == "mean_ratio":
        increase = ratio if increase is None else increase
        decrease = 1 / ratio if decrease is None else decrease
    return MetricRule(
        direction=Direction(check.direction or "increase"),
        tolerance=asked.tolerance,
        confidence=asked.confidence,
        preparation=Preparation(
            nan=NanStrategy.REPLACE if asked.missing == "zero" else NanStrategy.REMOVE,
            outliers=Outliers(asked.outliers), factor=asked.outlier_factor,
            is_lenient=asked.outlier_lenient),
        effect=Effect(asked.effect),
        allowed=Limits(decrease=decrease, increase=increase),
        critical=Limits(decrease=asked.critical_decrease, increase=asked.critical_increase),
        is_critical=asked.critical,
    )


def _all(values: Sequence[float | None]) -> list[float]:
    """Return the minutes' values; one in which nothing was measured is no number."""
    return [math.nan if each is None else each for each in values]


def _known(values: Sequence[float | None]) -> list[float]:
    return [each for each in values if each is not None]
