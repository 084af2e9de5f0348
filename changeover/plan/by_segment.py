"""Checks and triggers of a segment that have nobody to compare, or nobody to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.conditions import CheckSpec, Condition
from changeover.plan.model import PhaseKind, Plan, Stage

_USERS_ON_BOTH = (PhaseKind.BETA, PhaseKind.GRADUAL)


def without_anybody(plan: Plan) -> list[str]:
    """Return what a plan asks of segments in stages where it cannot be answered, as sentences."""
    found = []
    for stage in plan.stages():
        if stage.phase in _USERS_ON_BOTH:
            found += [f"stage {stage.title}: {what}" for what in _of_stage(plan, stage)]
    # the same check may stand in several gates of a stage
    return list(dict.fromkeys(found))


def is_moved(condition: Condition, stage: Stage) -> bool:
    """Whether all users of a condition's segment are on the candidate in a stage."""
    return condition.segment is not None and condition.segment in stage.segments


def _of_stage(plan: Plan, stage: Stage) -> Iterator[str]:
    for check in _checks(plan, stage):
        if why := _why_not(check, stage):
            what = f"{check.measured.name} of segment {check.segment}"
            yield f"{what} cannot be answered, because {why}; " \
                "people will be asked"
    for trigger in plan.triggers:
        if trigger.is_of_requests and (why := _why_not(trigger, stage)):
            yield f"trigger {trigger.name} cannot fire, because {why}"


def _checks(plan: Plan, stage: Stage) -> list[CheckSpec]:
    asked = [check for gate in stage.gates for check in plan.all_gates.get(gate, ())]
    return [check for check in asked if check.is_of_requests or check.is_sequential]


def _why_not(condition: Condition, stage: Stage) -> str | None:
    """Return why a condition of a segment has no answer in a stage; None when it has."""
    if condition.segment is None or condition.measured.is_rate:
        return None
    if is_moved(condition, stage):
        if condition.is_to_baseline:
            moved = f"all users of {condition.segment} are moved to the candidate"
            return f"{moved} there, so that nobody is left to compare them with; " \
                "give a fixed bound, such as below"
        if condition.of == "baseline":
            return f"all users of {condition.segment} are moved to the candidate there"
    elif not stage.weight and (condition.of == "candidate" or condition.is_to_baseline):
        return f"no user of {condition.segment} is on the candidate there"
    return None
