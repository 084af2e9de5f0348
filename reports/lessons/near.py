"""How near triggers, checks and guardrails came to their bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from changeover.analysis.check import describe_bound
from changeover.analysis.nearness import MOST, nearness, of_value
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, Condition, OnFail
from changeover.plan.guardrails import GATE
from changeover.plan.metrics import format_value
from changeover.plan.triggers import TriggerSpec
from reports import text
from reports.lessons.flaky import check_name
from reports.lessons.model import Near, Unseen, Watch
from reports.model import StageView

NEARLY = 0.8
"""From this part of the way on, something nearly fired."""
_HIGH_IS_BAD = ("below", "at_most", "ratio_to_baseline", "difference_to_baseline")
"""Bounds of checks that a value fails by being too high."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A value of a trigger's metric in a span of time, with the baseline's where it needs that."""

    at: datetime
    value: float
    baseline: float | None
    basis: str


def of_trigger(
    spec: TriggerSpec, seen: Iterable[Seen], firings: Sequence[TriggerFiring],
    stages: Sequence[StageView],
) -> Near | None:
    """Return how near a trigger came; None when its metric was never measured.

    Args:
        spec: The trigger.
        seen: The values that its metric had.
        firings: When it fired.
        stages: The stages, for where that was.
    """
    bound = describe_bound(spec)
    own = [each for each in firings if each.trigger == spec.name]
    if own:
        first = own[0]
        return Near(
            Watch.TRIGGER, spec.name, bound, max(1.0, _fired_share(spec, first)),
            text.one_line(first.reason), first.fired_at, stage_at(stages, first.fired_at),
            "firing", fired=True)
    worst: tuple[float, Seen] | None = None
    for each in seen:
        share = share_of_way(spec, each.value, each.baseline)
        # the first of equal ones: when it came so near
        if share is not None and (worst is None or share > worst[0]):
            worst = share, each
    if worst is None:
        return None
    share, found = worst
    return Near(
        Watch.TRIGGER, spec.name, bound, share, _words(spec, found.value, found.baseline),
        found.at, stage_at(stages, found.at), found.basis, fired=False)


def _fired_share(spec: TriggerSpec, firing: TriggerFiring) -> float:
    value = firing.evidence.get("value")
    number = float(value) if isinstance(value, int | float) else None
    return nearness(spec, number, firing.evidence) or 1.0


def share_of_way(
    spec: Condition, value: float, baseline: float | None, *, fires_high: bool | None = None
) -> float | None:
    """Return which part of the way to its bound a value has gone: 1 is at the bound.

    Args:
        spec: The trigger or check.
        value: In base units.
        baseline: The baseline's value at the same time, for bounds that are relative to it.
        fires_high: Whether a high value is bad; None: by the bound, as a trigger says it.

    Returns:
        None where it cannot be said, as without the baseline's value.
    """
    share = of_value(spec, value, baseline, is_high_near=fires_high)
    # beyond a bound that leaves no way there is no number that says how far
    return 1.0 if share == MOST else share


def of_checks(stages: Sequence[StageView]) -> tuple[list[Near], list[Unseen]]:
    """Return how near each check and guardrail came in any verdict, and what never had data."""
    best: dict[tuple[str, str], Near] = {}
    unseen: dict[tuple[str, str], Unseen] = {}
    judged: set[tuple[str, str]] = set()
    for stage in stages:
        for evaluation in stage.evaluations:
            for check in evaluation.evidence:
                if check.get("on_fail") == OnFail.SHOW:
                    continue
                watch = Watch.GUARDRAIL if evaluation.gate == GATE else Watch.CHECK
                name = _name(watch, evaluation.gate, check)
                key = str(watch), name
                if check.get("verdict") == Verdict.INCONCLUSIVE:
                    reason = text.one_line(check.get("reason", ""))
                    unseen[key] = Unseen(watch, name, reason)
                else:
                    judged.add(key)
                share = _share_of_check(check)
                known = best.get(key)
                if share is not None and (known is None or share > known.share):
                    best[key] = _near(watch, name, check, share, evaluation.at, stage.title)
    # what was decided at least once had its data
    never = [each for key, each in unseen.items() if key not in judged]
    return list(best.values()), never


def _name(watch: Watch, gate: str, check: Mapping[str, Any]) -> str:
    if watch is Watch.GUARDRAIL:
        # `client_errors: 12 of 900 ...`: a guardrail's reason begins with its name
        return str(check.get("reason", "?")).split(":", 1)[0]
    return f"{gate}: {check_name(check)}"


def _share_of_check(check: Mapping[str, Any]) -> float | None:
    """Return how far a check was on the way to failing; None where its evidence does not say."""
    weighed = check.get("sequential") or {}
    if "log_worse" in weighed and weighed.get("log_bar"):
        return max(0.0, float(weighed["log_worse"]) / float(weighed["log_bar"]))
    has_failed = check.get("verdict") == Verdict.FAIL
    value, asked = check.get("value"), check.get("check")
    if value is None or not asked:
        return 1.0 if has_failed else None
    # a plan of an older version may have asked what this one does not know
    try:
        spec = CheckSpec.model_validate(asked)
    except ValidationError:
        return 1.0 if has_failed else None
    share = share_of_way(
        spec, float(value), check.get("baseline_value"),
        fires_high=spec.bound_name in _HIGH_IS_BAD)
    # what failed was at its bound at least, whatever was rounded
    return max(share or 0.0, 1.0) if has_failed else share


def _near(
    watch: Watch, name: str, check: Mapping[str, Any], share: float, at: datetime, stage: str
) -> Near:
    weighed = check.get("sequential") or {}
    value = text.metric(check.get("metric"), check.get("value"))
    if "log_worse" in weighed:
        value = (f"{value}, evidence of harm {weighed['log_worse']:.2f} of "
                 f"{weighed['log_bar']:.2f}")
    return Near(
        watch, name, str(check.get("bound", "")), share, value, at, stage, "verdicts",
        fired=check.get("verdict") == Verdict.FAIL)


def _words(spec: TriggerSpec, value: float, baseline: float | None) -> str:
    shown = format_value(spec.measured, value)
    if spec.is_to_baseline and baseline is not None:
        return f"{shown}, baseline {format_value(spec.measured, baseline)}"
    return shown


def stage_at(stages: Sequence[StageView], at: datetime) -> str:
    """Return the title of the stage that was soaking at a time; empty outside any."""
    found = ""
    for stage in stages:
        if stage.entered_at is not None and stage.entered_at <= at:
            found = stage.title
    return found
