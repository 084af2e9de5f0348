"""What every rollout phase does with each of its stages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.exceptions import MissingResult
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Failed

from changeover.analysis.gate import StageDecision
from changeover.domain.rollout import StageAction
from changeover.errors import CarriedElsewhere, ChangeoverError, Refused, StaleEpoch
from changeover.plan.model import PhaseKind
from changeover.procedures.returning import refuse_to_take_back
from changeover.procedures.stages import has_begun, promoted, settled, was_entered
from changeover.procedures.steering import skipped
from changeover.procedures.steps import CutoverRun
from changeover.procedures.waiting import following
from tasks.approve import ask_people, ask_to_review
from tasks.cutover import (
    begin_cutover,
    end_again,
    end_not_begun,
    end_promoted,
    end_rolled_back,
)
from tasks.flow_runs import open_run, open_site
from tasks.gate import (
    finish_routes_back,
    hold_stage,
    judge_stage,
    promote_stage,
    recheck_later,
    soak,
    take_routes_back,
    until_allowed,
)
from tasks.hooks import after_stage, before_stage
from tasks.prepare import write_way_back
from tasks.report import publish_gate_table, update_progress
from tasks.returning import begin_alone
from tasks.steps import PASSING_TROUBLE, try_again_later
from tasks.traffic import (
    finish_share,
    give_back_share,
    move_traffic,
    note_share_due,
    soaks_again,
)

Phase = Callable[[str, int, str], Awaitable[StageDecision]]
"""A phase's flow: given names and ids only, which Prefect shows and keeps."""


async def pass_stage(migration: str, cutover_id: int, stage: str) -> StageDecision:
    """Move traffic, soak, judge the gate; evaluate again while there is too little data."""
    try:
        run = await open_run(migration, cutover_id)
        if known := promoted(run, stage) or skipped(run, stage):
            return known
        # hours and freezes are asked about before users move, not between the moves of one stage
        if not was_entered(run, stage):
            await until_allowed(run, run.site.plan.stage(stage))
        move_traffic(run, stage)
        await update_progress(run)
        finish_share(run, stage)
        while True:
            finish_routes_back(run, stage)
            if due := await soak(run, stage):
                return due
            # people may have left it out while it soaked
            if known := skipped(run, stage):
                return known
            decision = judge_stage(run, stage)
            await publish_gate_table(run, stage)
            if decision.action is not StageAction.WAIT:
                return decision
            if decision.back:
                take_routes_back(run, stage, decision)
            else:
                recheck_later(run, stage)
    except StaleEpoch as stale:
        return StageDecision(stage, StageAction.SUPERSEDED, str(stale))
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)


async def run_phase(kind: PhaseKind, migration: str | None) -> State:
    """Carry out one phase alone, as a cutover of its own: its stages with their approvals."""
    try:
        run = begin_cutover(await open_site(migration), str(kind))
        if ended := await end_again(run):
            return ended
        # the plan's order within the phase
        stages = [stage for stage in run.site.plan.stages() if stage.phase is kind]
        if not stages:
            return Failed(name="Refused", message=f"the plan has no phase {kind}")
        if not has_begun(run):
            try:
                refuse_to_take_back(run, stages[0].key)
                await begin_alone(run, stages[0].key)
            except Refused as refusal:
                return await end_not_begun(run, str(refusal))
            write_way_back(run)
        for stage in stages:
            decision = await carry_out(run, stage.key, pass_stage)
            if decision.action is not StageAction.PROMOTE:
                return await end_rolled_back(run, decision)
        return await end_promoted(run, f"phase {kind} is done")
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))


async def carry_out(run: CutoverRun, stage: str, phase: Phase) -> StageDecision:
    """Pass one stage and settle it: promoted, held and soaked again, or to be rolled back.

    Args:
        run: The cutover.
        stage: Key of the stage.
        phase: The flow (or function) that passes the stage and says what is to be done.
    """
    if known := settled(run, stage):
        return known
    round_ = 1
    try:
        if refused := await before_stage(run, stage):
            return refused
        while True:
            decision = await _decide(run, stage, phase, round_)
            settled_as: StageDecision | None = decision
            if decision.action is StageAction.PROMOTE:
                settled_as = await _promote(run, stage, decision, round_)
            if settled_as is not None and settled_as.action is not StageAction.HOLD:
                return settled_as
            if settled_as is None:
                note_share_due(run, stage, round_)
            hold_stage(run, stage, round_)
            if settled_as is None:
                give_back_share(run, stage, round_)
            round_ += 1
    except StaleEpoch as stale:
        return StageDecision(stage, StageAction.SUPERSEDED, str(stale))


async def _decide(run: CutoverRun, stage: str, phase: Phase, round_: int) -> StageDecision:
    """Pass the stage and return what is to be done, by its gate or by people."""
    number = 1
    while True:
        decision = await _passed(phase, run, stage)
        # a result that Prefect stored for another stage must not decide this one
        if decision.stage != stage:
            raise ChangeoverError(f"Prefect returned stage {decision.stage} for {stage}")
        if decision.action is StageAction.ASK:
            return await ask_people(run, stage, decision.reason, round_)
        if decision.action is not StageAction.REVIEW:
            return decision
        answered = await ask_to_review(run, stage, number, round_)
        if answered.action is not StageAction.PROMOTE:
            return replace(answered, stage=stage)
        number += 1


async def _passed(phase: Phase, run: CutoverRun, stage: str) -> StageDecision:
    """Pass the stage; a call that ended before is not made again, and Prefect keeps what it said.

    Prefect keeps it on the disk of the machine that made the call. On another one, or when the
    file is gone, the stage is passed here: all that was decided is in the store.
    """
    try:
        return await phase(run.migration, run.id, stage)
    except (MissingResult, ValueError, OSError) as missing:
        get_run_logger().info("%s is judged from the store: %s", stage, missing)
        return await pass_stage(run.migration, run.id, stage)


async def _promote(
    run: CutoverRun, stage: str, decision: StageDecision, round_: int
) -> StageDecision | None:
    """Close the stage as promoted as soon as the cutover is neither paused nor frozen.

    Returns:
        The decision; people's to roll back when a hook after the stage failed; None when the stage
        has lost users and must soak again with all of them.
    """
    # decided is not done yet: the next stage may not begin now
    await until_allowed(run, following(run, stage))
    # a segment was taken back since the gate was judged: the verdict is of more users
    if soaks_again(run, stage, round_):
        return None
    if refused := await after_stage(run, stage):
        return refused
    # hooks, and people who are asked about them, take their time: it may have happened since
    if soaks_again(run, stage, round_):
        return None
    # paused or frozen in between: the promotion waits for its end
    while not promote_stage(run, stage, decision.reason):
        await until_allowed(run, following(run, stage))
    return decision
