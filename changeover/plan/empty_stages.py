"""Checks and triggers in stages where nobody is on one of the two systems. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import PhaseKind, Plan, Stage
from changeover.plan.triggers import TriggerSpec


def _checks_in(plan: Plan, kind: PhaseKind) -> Iterator[tuple[Stage, CheckSpec]]:
    """Yield every check of every stage of a phase."""
    for stage in plan.stages():
        if stage.phase is kind:
            for gate in stage.gates:
                for check in plan.all_gates.get(gate, []):
                    yield stage, check


def ratios_without_baseline(plan: Plan) -> list[str]:
    """Find checks in the full phase that have no data, because nobody is on the baseline."""
    bounds, comparisons = [], []
    for stage, check in _checks_in(plan, PhaseKind.FULL):
        source = METRICS[check.metric].source
        what = f"stage {stage.title}: {check.metric}"
        # health and processes are measured on both systems, users or not
        of_users = source in (Source.TRAFFIC, Source.OUTCOME)
        if check.is_to_baseline and of_users:
            why = "nobody is on the baseline there"
            bounds.append(
                f"{what} has no baseline to compare with, because {why}; "
                "people will be asked")
        if source is Source.COMPARISON:
            why = "nothing is copied while all users are on the candidate"
            comparisons.append(
                f"{what} has no new data, because {why}; "
                "people will be asked")
    return bounds + comparisons


def triggers_without_baseline(plan: Plan) -> list[str]:
    """Find triggers that cannot fire in a stage, because there is nobody to compare with."""
    found = []
    for trigger in plan.triggers:
        source = METRICS[trigger.metric].source
        of_users = source in (Source.TRAFFIC, Source.OUTCOME)
        if not trigger.is_to_baseline or not of_users:
            continue
        for stage in plan.stages():
            if why := _cannot_fire(trigger, stage):
                what = f"trigger {trigger.name} cannot fire"
                found.append(f"{what} in stage {stage.title}: {why}")
    return found


def _cannot_fire(trigger: TriggerSpec, stage: Stage) -> str:
    """Return why a comparison has nobody to compare in a stage; empty when it has."""
    if stage.phase is PhaseKind.FULL:
        return "nobody is on the baseline there; " \
            "add a trigger with a fixed bound"
    # `without_anybody` says where
    if trigger.segment is not None:
        return ""
    is_split = stage.weight or stage.routes
    by_segments = stage.phase is not PhaseKind.SHADOW and not is_split
    if trigger.is_sequential and by_segments:
        return "its users are moved by segments, not by the split, " \
            "and are not compared; set `test: threshold`"
    return ""


def silent_checks(plan: Plan) -> list[str]:
    """Find checks of the candidate's traffic in a stage where it has none."""
    found = []
    for stage, check in _checks_in(plan, PhaseKind.SHADOW):
        metric = METRICS[check.metric]
        # a rate without traffic is 0, and that is a value
        has_value = metric.source is not Source.TRAFFIC or metric.is_rate
        if check.of == "candidate" and not has_value:
            what = f"stage {stage.title}: {check.metric} of the candidate"
            found.append(
                f"{what} has no data, because no user is on it; "
                "people will be asked")
    return found
