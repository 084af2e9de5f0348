"""Beginning a cutover with a later stage: where an earlier one was, or with a phase alone."""

from __future__ import annotations

from changeover.analysis.gate import StageDecision
from changeover.domain.rollout import StageAction
from changeover.errors import Refused
from changeover.procedures import returning
from changeover.procedures.steps import CutoverRun
from tasks.approve import ask_about
from tasks.steps import step


async def begin_with(run: CutoverRun, stage: str) -> None:
    """Pass over the stages before one, when their approvers agree.

    Raises:
        InvalidInput: The plan has no such stage.
        Refused: Nobody has reached it before, or an approver does not agree.
        StaleEpoch: A rollback came first.
    """
    # agreed and done in a run before this one: nobody is asked twice
    if not returning.passed_over(run, stage):
        return
    decision = await ask_about(run, returning.question(run, stage))
    if decision.action is not StageAction.PROMOTE:
        raise Refused(f"not begun at stage {stage} because {decision.reason}")
    pass_over(run, stage, decision)


async def begin_alone(run: CutoverRun, stage: str) -> None:
    """Begin a phase alone, when the approvers of the stages before it have agreed, or do now.

    Raises:
        Refused: An approver does not agree.
        StaleEpoch: A rollback came first.
    """
    if not returning.unagreed(run, stage):
        return
    decision = await ask_about(run, returning.question_alone(run, stage))
    if decision.action is not StageAction.PROMOTE:
        raise Refused(f"not begun at stage {stage} because {decision.reason}")


@step(name="pass over", task_run_name="pass over the stages before {stage}")
def pass_over(run: CutoverRun, stage: str, decision: StageDecision) -> None:
    """Close the stages before one as skipped; done once, it changes nothing more."""
    returning.pass_over(run, stage, decision.reason)
