"""The evidence of every check over time: its values against the bound, when it would have decided.

Pure. What is kept is shown: the verdicts with their evidence, and for bounds on measured values
what the samples say of moments between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from changeover.analysis.check import CheckResult
from changeover.domain.rollout import GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from reports import text

Measure = Literal["value", "ratio", "difference", "evidence"]
"""What stands against the bound: the value, its ratio or difference to the baseline's, evidence."""


@dataclass(frozen=True, slots=True)
class CheckPoint:
    """What a check said at a moment, in base units; null where it has no such number.

    Args:
        at: The end of what was looked at.
        stage: Key of the stage.
        verdict: What it said: `pass`, `fail`, `inconclusive`.
        value: The measured value.
        baseline: The baseline's, of bounds relative to it.
        low: Lower end of the interval in which the true value lies (95 %).
        high: Upper end.
        harm: Logarithm of the evidence of harm; it fails at `harm_bar`.
        harm_bar: What harm must reach.
        health: Logarithm of the evidence of health; it passes at `health_bar`.
        health_bar: What health must reach.
        basis: `verdict`: as it was stored; `samples`: by the samples that are kept.
    """

    at: datetime
    stage: str
    verdict: str
    value: float | None
    baseline: float | None
    low: float | None
    high: float | None
    harm: float | None
    harm_bar: float | None
    health: float | None
    health_bar: float | None
    basis: Literal["verdict", "samples"]


@dataclass(frozen=True, slots=True)
class CheckSeries:
    """A check of a gate over the whole cutover.

    Args:
        gate: Name of the gate.
        metric: Name of the metric.
        of: The system.
        bound: The bound in words.
        bounds: Its values in base units; a ratio or difference where `measure` says so.
        measure: What stands against the bound.
        points: What it said, in the order of time.
    """

    gate: str
    metric: str
    of: str
    bound: str
    bounds: tuple[float, ...]
    measure: Measure
    points: tuple[CheckPoint, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """When a check of a stage would have decided, by what is kept.

    Args:
        stage: Key of the stage.
        gate: Name of the gate.
        check: The metric in words, the system and the bound.
        passed_at: When it said `pass` first; null: never.
        passed_after: Seconds in the stage until then.
        failed_at: When it said `fail` first; null: never.
        failed_after: Seconds in the stage until then.
        verdict: What it said last.
        moments: How many moments are known.
    """

    stage: str
    gate: str
    check: str
    passed_at: datetime | None
    passed_after: float | None
    failed_at: datetime | None
    failed_after: float | None
    verdict: str
    moments: int


Key = tuple[str, str, str, str]
"""Gate, metric, system, bound in words: what makes a check the same in all stages."""


def of_verdicts(verdicts: Iterable[GateVerdict]) -> dict[Key, list[CheckPoint]]:
    """Return what every check said in the stored verdicts."""
    found: dict[Key, list[CheckPoint]] = defaultdict(list)
    for verdict in verdicts:
        for check in verdict.evidence:
            found[key_of(verdict.gate, check)].append(_stored(verdict, check))
    return found


def key_of(gate: str, check: Mapping[str, Any]) -> Key:
    """Return what a check is known by."""
    return (gate, str(check.get("metric", "?")), str(check.get("of", "?")),
            str(check.get("bound", "")))


def _stored(verdict: GateVerdict, check: Mapping[str, Any]) -> CheckPoint:
    interval = check.get("interval") or {}
    weighed = check.get("sequential") or {}
    stage = weighed.get("stage") or {}
    # an interval of a ratio or difference is of another number than the value
    is_own = interval.get("of") not in ("ratio", "difference")
    return CheckPoint(
        at=verdict.at, stage=verdict.stage, verdict=str(check.get("verdict", "?")),
        value=check.get("value"), baseline=check.get("baseline_value"),
        low=interval.get("low") if is_own else None,
        high=interval.get("high") if is_own else None,
        harm=weighed.get("log_worse"), harm_bar=weighed.get("log_bar"),
        health=stage.get("log_better"), health_bar=weighed.get("log_pass"), basis="verdict")


def of_result(at: datetime, stage: str, result: CheckResult) -> CheckPoint:
    """Return what a check says by the samples that are kept."""
    return CheckPoint(
        at=at, stage=stage, verdict=str(result.verdict), value=result.value,
        baseline=result.baseline_value, low=None, high=None, harm=None, harm_bar=None,
        health=None, health_bar=None, basis="samples")


def series(
    points: Mapping[Key, Sequence[CheckPoint]], specs: Mapping[Key, CheckSpec]
) -> tuple[CheckSeries, ...]:
    """Return every check over time, in the order in which they were first judged.

    Args:
        points: What each said.
        specs: What the plan says of each; what is in no plan (guardrails) has no number as bound.
    """
    found = []
    for key, said in points.items():
        gate, metric, of, bound = key
        spec = specs.get(key)
        found.append(CheckSeries(
            gate, metric, of, bound, spec.bound_values if spec else (),
            measure_of(spec, said), tuple(sorted(said, key=lambda each: each.at))))
    return tuple(found)


def measure_of(spec: CheckSpec | None, points: Sequence[CheckPoint]) -> Measure:
    """Return what of a check's points stands against its bound."""
    if any(point.harm is not None for point in points):
        return "evidence"
    if spec is None or not spec.is_to_baseline:
        return "value"
    return "ratio" if spec.bound_name == "ratio_to_baseline" else "difference"


def against_bound(measure: Measure, point: CheckPoint) -> float | None:
    """Return the number of a point that stands against the bound; None where there is none."""
    if measure == "evidence":
        is_known = point.harm is not None and point.harm_bar
        return point.harm / point.harm_bar if is_known else None  # type: ignore[operator]
    if measure == "value" or point.value is None:
        return point.value
    if point.baseline is None:
        return None
    if measure == "difference":
        return point.value - point.baseline
    return point.value / point.baseline if point.baseline else None


def decided(
    every: Iterable[CheckSeries], entered: Mapping[str, datetime]
) -> tuple[Decided, ...]:
    """Return when each check of each stage would have passed and failed.

    Args:
        every: The checks over time.
        entered: When each stage was entered.
    """
    found = []
    for one in every:
        stages: dict[str, list[CheckPoint]] = defaultdict(list)
        for point in one.points:
            stages[point.stage].append(point)
        for stage, points in stages.items():
            start = entered.get(stage, points[0].at)
            passed, failed = _first(points, Verdict.PASS), _first(points, Verdict.FAIL)
            found.append(Decided(
                stage, one.gate, f"{text.metric_words(one.metric)} of {one.of} {one.bound}",
                passed, _after(passed, start), failed, _after(failed, start),
                points[-1].verdict, len(points)))
    return tuple(found)


def _first(points: Sequence[CheckPoint], verdict: Verdict) -> datetime | None:
    return next((point.at for point in points if point.verdict == verdict), None)


def _after(at: datetime | None, start: datetime) -> float | None:
    return None if at is None else max(0.0, (at - start).total_seconds())
