"""The whole cutover SOP: every phase of the plan, gates, approvals, and the way back."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from changeover.domain.rollout import StageAction
from changeover.errors import CarriedElsewhere, ChangeoverError, Refused, StaleEpoch
from changeover.plan.model import PhaseKind
from flows.beta import beta_stage
from flows.full import full_stage
from flows.gradual import gradual_stage
from flows.shadow import shadow_stage
from flows.stage import Outcome, carry_out
from tasks.ending import end_again, end_not_begun, end_promoted, end_rolled_back, is_superseded
from tasks.finishing import (
    ask_to_accept,
    configure_finally,
    disable_baseline,
    judge_success,
    observed_until,
)
from tasks.lifecycle import begin_cutover, has_begun
from tasks.preparing import back_up, check_preconditions, write_way_back
from tasks.retiring import ask_to_disable
from tasks.runtime import Runtime, open_runtime
from tasks.steps import PASSING_TROUBLE, come_back, try_again_later
from tasks.validating import run_suite

PHASES = {
    PhaseKind.SHADOW: shadow_stage,
    PhaseKind.BETA: beta_stage,
    PhaseKind.GRADUAL: gradual_stage,
    PhaseKind.FULL: full_stage,
}


@flow(name="cutover", flow_run_name="cutover", persist_result=True)
async def cutover(migration: str | None = None) -> State:
    """Move all users from the baseline to the candidate, stage by stage.

    Before the first user moves: preconditions, a verified backup, `rollback.sh`. For each stage of
    the plan: move traffic, soak, judge the gate, ask people where the plan says so. Afterwards:
    final configuration, the baseline out of use, validation, observation, success criteria. A
    failed gate, a trigger or a person's word brings everyone back to the baseline. The run sleeps
    through soaks and approvals without holding a process, and survives being killed.

    A cutover whose run was cancelled or deleted is continued where it was by running this again.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        runtime = await open_runtime(migration)
        cutover_id = begin_cutover(runtime.migration)
        if ended := await end_again(runtime.migration, cutover_id):
            return ended
        try:
            if not has_begun(runtime.migration, cutover_id):
                await _prepare(runtime, cutover_id)
        except Refused as refusal:
            return await end_not_begun(runtime.migration, cutover_id, str(refusal))
        decision = await _pass_stages(runtime, cutover_id) or await _finish(runtime, cutover_id)
        if decision["action"] != StageAction.PROMOTE:
            return await end_rolled_back(runtime.migration, cutover_id, decision)
        return await end_promoted(runtime.migration, cutover_id, decision["reason"])
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))


async def _prepare(runtime: Runtime, cutover_id: int) -> None:
    """Do what must be done before the first user moves."""
    spec = runtime.plan.cutover.preconditions
    suite = await run_suite(runtime.migration, spec.suite if spec else None, cutover_id)
    check_preconditions(runtime.migration, cutover_id, suite)
    back_up(runtime.migration, cutover_id)
    write_way_back(runtime.migration, cutover_id)


async def _pass_stages(runtime: Runtime, cutover_id: int) -> Outcome | None:
    """Carry out the stages; return what was decided at the one that was not promoted, or None."""
    for stage in runtime.plan.stages():
        if is_superseded(runtime.migration, cutover_id, stage.key):
            return None
        decision = await carry_out(runtime.migration, cutover_id, stage.key, PHASES[stage.phase])
        if decision["action"] != StageAction.PROMOTE:
            return decision
    return None


async def _finish(runtime: Runtime, cutover_id: int) -> Outcome:
    """Do what remains when everyone is on the candidate, and see whether it was a success."""
    migration = runtime.migration
    try:
        configure_finally(migration, cutover_id)
        decision = await ask_to_disable(migration, cutover_id)
        if decision["action"] == StageAction.ROLLBACK:
            return decision
        if decision["action"] == StageAction.PROMOTE:
            disable_baseline(migration, cutover_id)
        return await _observe(runtime, cutover_id)
    except StaleEpoch as stale:
        return {"stage": "", "action": StageAction.SUPERSEDED, "reason": str(stale)}


async def _observe(runtime: Runtime, cutover_id: int) -> Outcome:
    """Validate and observe until everything that makes a success is met, or people accept it."""
    migration, spec = runtime.migration, runtime.plan.cutover
    round_ = 1
    while True:
        suite = await run_suite(migration, spec.validate_, cutover_id, round_)
        if suite is None or suite["verdict"] == "pass":
            until = observed_until(migration, cutover_id, round_)
            message = f"observed until {until:%F %T} UTC"
            await come_back(until, name="Observing", message=message)
        criteria = judge_success(migration, cutover_id, suite, round_)
        unmet = [each for each in criteria if not each["is_met"]]
        if not unmet:
            reason = "every stage was promoted; the candidate serves everyone"
            return {"stage": "", "action": StageAction.PROMOTE, "reason": reason}
        decision = await ask_to_accept(migration, cutover_id, unmet, round_)
        if decision["action"] != StageAction.HOLD:
            return decision
        round_ += 1
