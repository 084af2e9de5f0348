"""The whole cutover SOP: every phase of the plan, gates, approvals, and the way back."""

from __future__ import annotations

from prefect import flow
from prefect.states import Failed, State

from changeover.analysis.gate import Action
from changeover.errors import ChangeoverError
from changeover.plan.model import PhaseKind
from flows.beta import beta_stage
from flows.full import full_stage
from flows.gradual import gradual_stage
from flows.shadow import shadow_stage
from flows.stage import carry_out
from tasks.ending import end_promoted, end_rolled_back, is_superseded
from tasks.lifecycle import begin_cutover
from tasks.runtime import open_runtime
from tasks.steps import PASSING_TROUBLE, try_again_later

PHASES = {
    PhaseKind.SHADOW: shadow_stage,
    PhaseKind.BETA: beta_stage,
    PhaseKind.GRADUAL: gradual_stage,
    PhaseKind.FULL: full_stage,
}


@flow(name="cutover", flow_run_name="cutover", persist_result=True)
async def cutover(migration: str | None = None) -> State:
    """Move all users from the baseline to the candidate, stage by stage.

    For each stage of the plan: move traffic, soak, judge the gate, ask people where the plan says
    so. A failed gate, a trigger or a person's word brings everyone back to the baseline. The run
    sleeps through soaks and approvals without holding a process, and survives being killed.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        runtime = await open_runtime(migration)
        cutover_id = begin_cutover(runtime.migration)
        for stage in runtime.plan.stages():
            if is_superseded(runtime.migration, cutover_id, stage.key):
                break
            decision = await carry_out(
                runtime.migration, cutover_id, stage.key, PHASES[stage.phase]
            )
            if decision["action"] != Action.PROMOTE:
                return await end_rolled_back(runtime.migration, cutover_id, decision)
        return await end_promoted(
            runtime.migration, cutover_id, "every stage was promoted; the candidate serves everyone"
        )
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
        raise
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
