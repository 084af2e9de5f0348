"""The whole cutover SOP: every phase of the plan, gates, approvals, and the way back."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from changeover.analysis.gate import StageDecision
from changeover.domain.rollout import StageAction
from changeover.errors import CarriedElsewhere, ChangeoverError, InvalidInput, Refused, StaleEpoch
from changeover.procedures.returning import passed_over, refuse_to_take_back
from changeover.procedures.stages import has_begun, is_superseded
from changeover.procedures.steps import CutoverRun
from flows.phases import STAGE_FLOWS
from flows.stage import carry_out
from tasks.capacity import before_final
from tasks.cutover import begin_cutover, end_again, end_not_begun, end_promoted, end_rolled_back
from tasks.finish import (
    ask_to_accept,
    ask_to_disable,
    configure_finally,
    disable_baseline,
    judge_success,
    observed_until,
)
from tasks.flow_runs import open_site
from tasks.gate import until_allowed
from tasks.prepare import back_up, check_preconditions, write_way_back
from tasks.returning import begin_with
from tasks.starting import note_starter
from tasks.steps import PASSING_TROUBLE, come_back, try_again_later
from tasks.validate import run_suite


@flow(name="cutover", flow_run_name="cutover", persist_result=True)
async def cutover(
    migration: str | None = None, from_stage: str | None = None, started_by: str | None = None,
    code: str | None = None,
) -> State:
    """Move all users from the baseline to the candidate, stage by stage.

    Before the first user moves: preconditions, a verified backup, `rollback.sh`. For each stage of
    the plan: move traffic, soak, judge the gate, ask people where the plan says so. Afterwards:
    final configuration, the baseline out of use, validation, observation, success criteria. A
    failed gate, a trigger or a person's word brings everyone back to the baseline. The run sleeps
    through soaks and approvals without a process, and survives being killed. A cutover whose run
    was cancelled or deleted is continued where it was by running this again.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
        from_stage: Stage to begin with, as `gradual-50`, reached before; its approvers are asked.
        started_by: Who starts it, for `four_eyes`; empty: two must approve wherever one would.
        code: What `changeover approver code start` shows, where the plan wants tokens.
    """
    try:
        run = begin_cutover(await open_site(migration))
        if ended := await end_again(run):
            return ended
        try:
            if not has_begun(run):
                note_starter(run, started_by, code)
                await _prepare(run, from_stage)
        except (Refused, InvalidInput) as refusal:
            # nobody was moved: this is no rollback
            return await end_not_begun(run, str(refusal))
        decision = await _pass_stages(run) or await _finish(run)
        if decision.action is not StageAction.PROMOTE:
            return await end_rolled_back(run, decision)
        return await end_promoted(run, decision.reason)
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))


async def _prepare(run: CutoverRun, from_stage: str | None) -> None:
    """Do what must be done before the first user moves; pass over what is before `from_stage`."""
    if from_stage:
        passed_over(run, from_stage)  # refused before anything is done
    refuse_to_take_back(run, from_stage or run.site.plan.stages()[0].key)
    spec = run.site.plan.cutover.preconditions
    suite = await run_suite(run.site, spec.suite if spec else None, f"cutover {run.id}")
    check_preconditions(run, suite)
    back_up(run)
    write_way_back(run)
    if from_stage:
        await begin_with(run, from_stage)


async def _pass_stages(run: CutoverRun) -> StageDecision | None:
    """Carry out the stages; return what was decided at the one that was not promoted, or None."""
    for stage in run.site.plan.stages():
        if is_superseded(run, stage.key):
            # `_finish` says how it ended: a rollback came first
            return None
        decision = await carry_out(run, stage.key, STAGE_FLOWS[stage.phase])
        if decision.action is not StageAction.PROMOTE:
            return decision
    return None


async def _finish(run: CutoverRun) -> StageDecision:
    """Do what remains when everyone is on the candidate, and see whether it was a success."""
    try:
        await until_allowed(run, None)
        if refused := await before_final(run):
            return refused
        configure_finally(run)
        decision = await ask_to_disable(run)
        if decision.action is StageAction.ROLLBACK:
            return decision
        if decision.action is StageAction.PROMOTE:
            await until_allowed(run, None)
            disable_baseline(run)
        return await _observe(run)
    except StaleEpoch as stale:
        return StageDecision("", StageAction.SUPERSEDED, str(stale))


async def _observe(run: CutoverRun) -> StageDecision:
    """Validate and observe until everything that makes a success is met, or people accept it."""
    spec, round_ = run.site.plan.cutover, 1
    while True:
        await until_allowed(run, None)
        suite = await run_suite(run.site, spec.validate_, f"cutover {run.id}", round_)
        # a suite that failed is no success whatever is observed: people are asked at once
        if suite is None or suite.is_passed:
            until = observed_until(run, round_)
            message = f"observed until {until:%F %T} UTC"
            await come_back(until, name="Observing", message=message)
        criteria = judge_success(run, suite, round_)
        unmet = [each for each in criteria if not each.is_met]
        if not unmet:
            reason = "every stage was promoted; the candidate serves everyone"
            return StageDecision("", StageAction.PROMOTE, reason)
        decision = await ask_to_accept(run, unmet, round_)
        if decision.action is not StageAction.HOLD:
            return decision
        round_ += 1
