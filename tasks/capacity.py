"""Before levers make the baseline smaller: people are asked unless a rollback would still fit."""

from __future__ import annotations

from changeover.analysis.gate import StageDecision
from changeover.domain.capacity import shrinking
from changeover.domain.hooks import Hook
from changeover.domain.rollout import StageAction, StageStatus
from changeover.procedures import shrinking as procedure
from changeover.procedures.shrinking import Shrinking
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers
from tasks.approve import ask_about
from tasks.steps import step


async def before_hook(run: CutoverRun, hook: Hook) -> StageDecision | None:
    """Return None when a hook may be carried out; else people's decision to roll back."""
    # a hook that runs a suite makes nothing smaller
    names = [hook.spec.lever] if hook.spec.lever else []
    levers = shrinking(run.site.plan, names)
    what = Shrinking(hook.subject, hook.stage, levers)
    return await _agree(run, what)


async def before_final(run: CutoverRun) -> StageDecision | None:
    """Return None when the final levers may be pulled; else people's decision to roll back."""
    return await _agree(run, procedure.finally_shrinking(run))


async def _agree(run: CutoverRun, what: Shrinking) -> StageDecision | None:
    """Ask until it fits, or people go on all the same, or they roll back.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    round_ = 1
    record = cutovers.stage(run.site.store, run.id, what.stage)
    is_soaking = record is not None and record.status is StageStatus.SOAKING
    while not procedure.is_settled(run, what):
        # a question that was put is answered, also when it would fit by now
        if not procedure.was_asked(run, what, round_) and see_room(run, what):
            return None
        found = procedure.room(run, what)
        if is_soaking:
            cutovers.wait_for_approval(run.site.store, run.id, what.stage)
        question = procedure.question(run, what, found, round_)
        decision = await ask_about(run, question)
        if decision.action is StageAction.ROLLBACK:
            return decision
        if decision.action is StageAction.PROMOTE:
            agree(run, what, decision)
        round_ += 1
    return None


@step(name="see room for a rollback")
def see_room(run: CutoverRun, what: Shrinking) -> bool:
    """See whether a rollback would still fit, and note it if it would; return whether to go on."""
    found = procedure.room(run, what)
    return procedure.may_go_on(run, what, found)


@step(name="agree to less room")
def agree(run: CutoverRun, what: Shrinking, decision: StageDecision) -> None:
    """Note that people go on although a rollback would not fit, or nobody knows."""
    found = procedure.room(run, what)
    procedure.agree(run, what, found, decision)
