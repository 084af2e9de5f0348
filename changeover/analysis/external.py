"""Judging a check on what an external source said. Pure.

A source that is down, slow, stale or says no number makes the check inconclusive, with the reason:
it never passes and never fails because of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from changeover.analysis.check import CheckResult, describe_bound, evaluate
from changeover.analysis.trigger import Judged, judge_windows
from changeover.analysis.window import Measured, Window
from changeover.domain.readings import Reading, reading_of
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, Condition
from changeover.plan.triggers import TriggerSpec


@dataclass(frozen=True, slots=True)
class Readings:
    """What a check is judged by: the reading of its system, and the baseline's where it compares.

    `start` and `end` are those of the check's window.
    """

    own: Reading
    baseline: Reading | None
    start: datetime
    end: datetime


def judge_external(check: CheckSpec, readings: Readings) -> CheckResult:
    """Judge a check on an external metric by its threshold, or relative to the baseline."""
    own, baseline = readings.own, readings.baseline
    other = None if baseline is None else _measured(baseline)
    verdict, reason = Verdict.INCONCLUSIVE, _problem(check, own, baseline)
    if not reason:
        verdict, reason = evaluate(check, _measured(own), other, needed=check.min_samples)
        # Who reads it at night must know whom to ask.
        reason = _with_source(reason, own)
    return CheckResult(
        metric=check.metric, of=check.of, bound=describe_bound(check), verdict=verdict,
        reason=reason, value=own.value, samples=own.samples, min_samples=check.min_samples,
        start=readings.start, end=readings.end,
        baseline_value=other.value if other else None,
        baseline_samples=other.samples if other else None,
        external={
            "own": own.as_evidence(),
            "baseline": None if baseline is None else baseline.as_evidence(),
        })


def judge_again(check: CheckSpec, stored: Mapping[str, Any]) -> CheckResult:
    """Judge a check by the readings that were stored with its result; no source is asked."""
    kept = stored["external"]
    other = kept["baseline"]
    baseline = None if other is None else reading_of(check.metric, other)
    start = datetime.fromisoformat(stored["window_start"])
    end = datetime.fromisoformat(stored["window_end"])
    own = reading_of(check.metric, kept["own"])
    return judge_external(check, Readings(own, baseline, start, end))


def judge_readings(spec: TriggerSpec, own: Reading | None, baseline: Reading | None) -> Judged:
    """Return what sources say of a trigger's condition; what is missing is not known.

    Args:
        spec: The trigger.
        own: What was said of its system; None: nothing yet.
        baseline: What was said of the baseline, for bounds that are relative to it.
    """
    # Sources are asked every few seconds at most; a trigger is looked at every second.
    if own is None or (baseline is None and spec.is_to_baseline):
        reason = f"{spec.metric}: its source has not said anything yet"
        return Judged(None, None, reason)
    numbers = {"external": {
        "own": own.as_evidence(),
        "baseline": baseline and baseline.as_evidence(),
    }}
    if problem := _problem(spec, own, baseline):
        return Judged(None, None, problem, None, numbers)
    seconds = float(own.question.window)
    other = None
    if baseline is not None:
        other = _Said(seconds=seconds, said=_measured(baseline))
    said = _Said(seconds=seconds, said=_measured(own))
    judged = judge_windows(spec, said, other)
    reason = _with_source(judged.reason, own)
    return replace(judged, reason=reason, numbers={**judged.numbers, **numbers})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said(Window):
    """A window of an external metric: a source measured it, not we."""

    said: Measured

    def measure(self, metric: str) -> Measured:
        return self.said


def _with_source(reason: str, reading: Reading) -> str:
    # A source that does not say how many counts as one: "in 1 samples" would say more than we know.
    if reading.samples == 1:
        for uncounted in (" in 1 samples", " in 1 and 1 samples"):
            reason = reason.replace(uncounted, "")
    return f"{reason}, by source {reading.source} at {reading.of:%H:%M:%S} UTC"


def _measured(reading: Reading) -> Measured:
    return Measured(reading.value, reading.samples)


def _problem(condition: Condition, own: Reading, baseline: Reading | None) -> str:
    """Return why a reading cannot be used; empty when each can."""
    for reading in (own, baseline):
        if reading is not None and reading.problem:
            what = f"{condition.metric} of {reading.question.system}"
            return f"{what}: source {reading.source}: {reading.problem}"
    return ""
