"""Which load is wanted now. Pure.

Only while a stage soaks and nothing speaks against it: whatever is not known means no load.
"""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Mode, RoutingState
from changeover.plan.hooks import LoadSpec, asked_of
from changeover.plan.load_requests import Asked
from changeover.plan.model import Plan


@dataclass(frozen=True, slots=True)
class Load:
    """One steady load of a stage; `number` counts those of the stage, from 1."""

    stage: str
    number: int
    spec: LoadSpec
    asked: tuple[Asked, ...]

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.spec.text} in {self.stage}"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the store and the gateway say.

    Args:
        state: The routing state.
        cutover: The cutover that runs; None without one.
        stages: Its stages so far.
        is_paused: Whether people paused it.
        is_glass_broken: Whether everyone was sent to the baseline without the store.
        is_withheld: Whether back-pressure spares the candidate.
    """

    state: RoutingState
    cutover: Cutover | None = None
    stages: tuple[StageRecord, ...] = ()
    is_paused: bool = False
    is_glass_broken: bool = False
    is_withheld: bool = False


def wanted(plan: Plan, seen: Situation) -> tuple[Load, ...]:
    """Return the loads that are to run now.

    None in a pause (no soak counts), in maintenance, after a rollback, and to a candidate that
    back-pressure spares; a freeze changes nothing, because stages soak on in it.
    """
    if why_none(seen):
        return ()
    (key,) = [each.key for each in seen.stages if each.status is StageStatus.SOAKING][-1:]
    # another plan may be in force by now, and this process not yet started again
    if key not in {stage.key for stage in plan.stages()}:
        return ()
    found = []
    for number, spec in enumerate(plan.stage(key).hooks.during, 1):
        reaches_candidate = spec.of != "baseline"
        asked = tuple(asked_of(plan.suites.get(spec.load, [])))
        if asked and not (seen.is_withheld and reaches_candidate):
            found.append(Load(key, number, spec, asked))
    return tuple(found)


def why_none(seen: Situation) -> str:
    """Return why no load runs, whatever the plan says; empty when one may."""
    cutover = seen.cutover
    if cutover is None or cutover.status is not CutoverStatus.RUNNING:
        return "no cutover runs"
    if seen.is_glass_broken or seen.state.mode is Mode.EMERGENCY_ROLLBACK \
            or seen.state.epoch != cutover.epoch:
        return "a rollback came"
    if seen.state.maintenance:
        return "users get the maintenance answer"
    if seen.is_paused:
        return "the cutover is paused"
    if not any(each.status is StageStatus.SOAKING for each in seen.stages):
        return "no stage soaks"
    return ""
