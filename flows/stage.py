"""What every rollout phase does with each of its stages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from changeover.domain.rollout import StageAction
from changeover.errors import CarriedElsewhere, ChangeoverError, StaleEpoch
from changeover.plan.model import PhaseKind
from tasks.approval import ask_people
from tasks.ending import end_again, end_promoted, end_rolled_back
from tasks.gate import judge_stage
from tasks.lifecycle import begin_cutover, has_begun
from tasks.preparing import write_way_back
from tasks.reporting import publish_gate_table, update_progress
from tasks.runtime import open_runtime
from tasks.settling import (
    hold_stage,
    promote_stage,
    promoted,
    recheck_later,
    round_of,
    settled,
)
from tasks.soaking import soak
from tasks.steps import PASSING_TROUBLE, try_again_later
from tasks.traffic import give_back_share, move_traffic, soaks_again

Outcome = dict[str, str]
"""`stage`, `action` (promote, ask, rollback or superseded) and `reason`."""

Phase = Callable[[str, int, str], Awaitable[Outcome]]


async def pass_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move traffic, soak, judge the gate; look again while there is too little data."""
    try:
        await open_runtime(migration)
        if known := promoted(migration, cutover_id, stage):
            return known
        move_traffic(migration, cutover_id, stage)
        await update_progress(migration, cutover_id)
        while True:
            await soak(migration, cutover_id, stage)
            decision = judge_stage(migration, cutover_id, stage)
            await publish_gate_table(migration, cutover_id, stage)
            if decision["action"] != StageAction.WAIT:
                return {"stage": stage, **decision}
            _, rechecks = round_of(migration, cutover_id, stage)
            recheck_later(migration, cutover_id, stage, rechecks)
    except StaleEpoch as stale:
        return {"stage": stage, "action": StageAction.SUPERSEDED, "reason": str(stale)}
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)


async def run_phase(kind: PhaseKind, migration: str | None) -> State:
    """Carry out one phase alone, as a cutover of its own: its stages with their approvals."""
    try:
        runtime = await open_runtime(migration)
        cutover_id = begin_cutover(runtime.migration, str(kind))
        if ended := await end_again(runtime.migration, cutover_id):
            return ended
        stages = [stage for stage in runtime.plan.stages() if stage.phase is kind]
        if not stages:
            return Failed(name="Refused", message=f"the plan has no phase {kind}")
        if not has_begun(runtime.migration, cutover_id):
            write_way_back(runtime.migration, cutover_id)
        for stage in stages:
            decision = await carry_out(runtime.migration, cutover_id, stage.key, pass_stage)
            if decision["action"] != StageAction.PROMOTE:
                return await end_rolled_back(runtime.migration, cutover_id, decision)
        return await end_promoted(runtime.migration, cutover_id, f"phase {kind} is done")
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))


async def carry_out(
    migration: str, cutover_id: int, stage: str, phase: Phase
) -> Outcome:
    """Pass one stage and settle it: promoted, held and soaked again, or to be rolled back.

    Args:
        migration: Name of the migration.
        cutover_id: The cutover.
        stage: Key of the stage.
        phase: The flow (or function) that passes the stage and says what is to be done.
    """
    if known := settled(migration, cutover_id, stage):
        return known
    round_ = 1
    try:
        while True:
            outcome = await phase(migration, cutover_id, stage)
            if outcome["stage"] != stage:
                raise ChangeoverError(f"Prefect returned stage {outcome['stage']} for {stage}")
            if outcome["action"] == StageAction.ASK:
                answer = await ask_people(migration, cutover_id, stage, outcome["reason"], round_)
                outcome = {"stage": stage, "action": answer.action, "reason": answer.reason}
            if outcome["action"] == StageAction.PROMOTE and soaks_again(
                migration, cutover_id, stage, round_
            ):
                hold_stage(migration, cutover_id, stage, round_)
                give_back_share(migration, cutover_id, stage, round_)
                round_ += 1
                continue
            if outcome["action"] == StageAction.PROMOTE:
                promote_stage(migration, cutover_id, stage, outcome["reason"])
            if outcome["action"] != StageAction.HOLD:
                return outcome
            hold_stage(migration, cutover_id, stage, round_)
            round_ += 1
    except StaleEpoch as stale:
        return {"stage": stage, "action": StageAction.SUPERSEDED, "reason": str(stale)}

