"""Which stage of a cutover comes next: not one that enough people said to leave out."""

from __future__ import annotations

from changeover.domain.approvers import rules_of
from changeover.domain.instructions import Instruction, InstructionKind, people
from changeover.plan.model import Plan, Stage
from changeover.store import cutovers, instructions
from changeover.store.engine import Store


def stage_after(store: Store, cutover_id: int, plan: Plan, key: str) -> Stage | None:
    """Return the stage that comes after the one called `key`; None after the last."""
    given = instructions.all_of(store, cutover_id)
    for stage in plan.stages()[plan.stage(key).index + 1:]:
        # what is left out has nothing that would have to be waited for
        if not _is_left_out(store, cutover_id, plan, stage, given):
            return stage
    return None


def is_left_out(store: Store, cutover_id: int, plan: Plan, stage: Stage) -> bool:
    """Whether enough people said that a stage is left out."""
    return _is_left_out(store, cutover_id, plan, stage, instructions.all_of(store, cutover_id))


def _is_left_out(
    store: Store, cutover_id: int, plan: Plan, stage: Stage, given: list[Instruction]
) -> bool:
    agreed = rules_of(plan, stage.key).counting(people(given, InstructionKind.SKIP, stage.key))
    return bool(agreed) and len(agreed) >= instructions.enough(store, cutover_id, stage)


def next_stage(store: Store, cutover_id: int, plan: Plan) -> Stage | None:
    """Return the stage after the newest one that was entered or skipped; None after the last."""
    known = cutovers.stages(store, cutover_id)
    if known:
        return stage_after(store, cutover_id, plan, known[-1].key)
    ahead = plan.stages()
    return ahead[0] if ahead else None
