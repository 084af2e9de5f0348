"""Harm that evidence shows before a soak's end: by triggers, and by gates that fail early.

The observer looks every few seconds; what is kept are sums by the minute, and by the hour later. So
a stage is looked at at the ends of some of them. Evidence that is shown at one of these moments
would have been shown then at the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.analysis.backtest.found import Change, Fired, TriggerAgain
from changeover.analysis.backtest.pairs import as_stored
from changeover.analysis.check import with_group
from changeover.analysis.gate import fails_its_gate
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.slow import is_timed
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.sequential.watching import weigh_trigger
from changeover.clock import from_timestamp
from changeover.domain.rollout import StageRecord
from changeover.domain.routing import BUCKETS
from changeover.domain.slices import SlowBound
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, OnFail
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec
from changeover.procedures.backtest.kept_sums import why_not_counted
from changeover.procedures.backtest.timeline import Timeline
from changeover.procedures.bucket_evidence import hours_of, questions
from changeover.site.bucket_sums import opened
from changeover.site.site import Site
from changeover.store import cutovers, slices

MOST_LOOKS = 24
"""Moments of a stage: each costs as much as the judgement of a gate."""
BY = "by kept sums, looked at a few times"


@dataclass(frozen=True, slots=True)
class Looked:
    """A stage with users on both systems, and what its sums were at some moments."""

    record: StageRecord
    sums: Sequence[StageSums]


def looked_at(site: Site, plan: Plan, timeline: Timeline) -> Iterator[Looked]:
    """Yield the stages of a time that compare users, with their sums at some moments."""
    bounds = {}
    for each in slices.slow_bounds(site.store, site.migration):
        bounds[each.condition] = each
    specs = {each.key: each for each in plan.stages()}
    for cutover in cutovers.all_of(site.store, site.migration):
        for record in cutovers.stages(site.store, cutover.id):
            end = record.decided_at or cutover.ended_at or timeline.until
            weight = timeline.weight_at(max(record.entered_at, timeline.since))
            spec = specs.get(record.key)
            is_in_time = end > timeline.since and record.entered_at < timeline.until
            if spec is None or not is_in_time or not 0 < weight < BUCKETS:
                continue
            past = site.bucket_sums.past(record.entered_at)
            asked, sums = questions(plan, spec), []
            for at, parts in _moments(site, record, weight, end):
                sums.append(StageSums(
                    weight, parts, past, record.entered_at, at, asked, bounds, hours_of(spec)))
            yield Looked(record, sums)


def _moments(
    site: Site, record: StageRecord, weight: int, end: datetime
) -> Iterator[tuple[datetime, list[Slice]]]:
    """Yield (moment, parts until then) of a stage at the ends of some of its slices."""
    # rounded up: the second in which it was entered belongs to what was before
    start = -int(-record.entered_at.timestamp() // 1)
    found = [opened(each) for each in slices.between(
        site.store, site.migration, weight=weight, start=start, end=int(end.timestamp()))]
    # evenly over the stage, and the last one in any case
    step = -(-len(found) // MOST_LOOKS) or 1
    for number, each in enumerate(found, 1):
        if number % step == 0 or number == len(found):
            yield from_timestamp(each.end), into_parts(found[:number], each.end)


def fired_by_evidence(
    site: Site, spec: TriggerSpec, stages: Sequence[Looked]
) -> tuple[list[Fired], str]:
    """Return when a trigger by evidence would have fired, and why that cannot be told, if so."""
    found, why_not = [], ""
    for stage in stages:
        why_not = why_not or _why_not(site.plan, spec.as_check, stage.sums)
        if why_not:
            continue
        # the first moment counts: the rollback ends the stage
        for sums in stage.sums:
            weighed = weigh_trigger(spec, sums)
            if weighed.is_shown:
                found.append(Fired(sums.end, weighed.reason, weighed.numbers.get("value"), BY))
                break
    return found, why_not


def failed_early(
    site: Site, plan: Plan, stages: Sequence[Looked], stored: Sequence[TriggerAgain]
) -> list[TriggerAgain]:
    """Return the gates that would have failed before a soak's end, in place of those that did.

    What the checks did that are as they were is stored; only others are looked at.

    Args:
        site: The migration, with the plan that runs.
        plan: The plan that is asked.
        stages: The stages that compare users.
        stored: What gates fired, as it is stored.
    """
    known = {each.trigger: each for each in stored}
    found = []
    # each gate once, in the order of the stages
    for gate in dict.fromkeys(gate for each in plan.stages() for gate in each.gates):
        name = f"gate {gate}"
        before = known.pop(name, None)
        checks = [each for each in plan.all_gates[gate] if _may_be_early(each)]
        if _early(site.plan, gate) == [as_stored(each) for each in checks]:
            found += [before] if before else []
            continue
        seen: list[Fired] = []
        for stage in stages:
            if gate in plan.stage(stage.record.key).gates:
                seen += _first_failure(site.plan, checks, stage)
        then = before.then if before else ()
        if seen or then:
            found.append(TriggerAgain(
                name, "rollback", "fails before the soak's end", Change.CHANGED, then, seen, None))
    dropped, others = [], []
    for each in known.values():
        if each.trigger.startswith("gate "):
            dropped.append(TriggerAgain(
                each.trigger, "rollback", "", Change.DROPPED, each.then, (), None))
        else:
            others.append(each)
    return [*found, *dropped, *others]


def _first_failure(
    running: Plan, checks: Sequence[CheckSpec], stage: Looked
) -> list[Fired]:
    """Return the first early failure of a stage; a rollback ends it."""
    asked = [each for each in checks if not _why_not(running, each, stage.sums)]
    for sums in stage.sums:
        judged = [with_group(check, judge_by_buckets(check, sums)) for check in asked]
        shown = [each for each in judged
                 if each.verdict is Verdict.FAIL and each.samples >= each.min_samples]
        for result in shown:
            if fails_its_gate(result, shown):
                return [Fired(sums.end, result.reason, result.value, BY)]
    return []


def _early(plan: Plan, gate: str) -> list[dict[str, object]]:
    return [as_stored(each) for each in plan.all_gates.get(gate, []) if _may_be_early(each)]


def _may_be_early(check: CheckSpec) -> bool:
    is_rollback = check.on_fail is OnFail.ROLLBACK
    return is_rollback and check.is_sequential and check.early_fail


def _why_not(running: Plan, check: CheckSpec, sums: Sequence[StageSums]) -> str:
    bounds: dict[str, SlowBound] = dict(sums[-1].bounds) if sums else {}
    parts = sums[-1].parts if sums else ()
    # without a stage nothing was counted, and nothing is missing
    if is_timed(check) and not sums:
        return ""
    return why_not_counted(running, check, bounds, parts)
