"""Asking people: which answers are needed, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.approvers import Rules, rules_of
from changeover.domain.rollout import Approval, StageAction
from changeover.errors import ApprovalRefused
from changeover.procedures.steps import CutoverRun
from changeover.store import approvals, starting


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked.

    Args:
        subject: What it is about: a stage's key, or a short name as `disable-baseline`.
        text: Markdown above the form, for the approver of a number from 1.
        needed: How many different people must agree.
        round: How often they are asked about it, from 1.
    """

    subject: str
    text: Callable[[int], str]
    needed: int = 1
    round: int = 1


def numbered(text: str, needed: int) -> Callable[[int], str]:
    """Return a question's text for each of several approvers: it says which of them it asks.

    Args:
        text: Markdown above the form.
        needed: How many different people must agree.
    """
    return lambda ordinal: f"{text.rstrip()}\n\nApprover {ordinal} of {needed}."


def ask(run: CutoverRun, question: Question, ordinal: int, agreed: int) -> Approval:
    """Put the question to the approver of a number; asked again, the first question stands.

    Args:
        run: The cutover.
        question: What people are asked.
        ordinal: How often it was put, from 1.
        agreed: How many have agreed so far.

    Raises:
        StaleEpoch: A rollback came first.
        CarriedElsewhere: Another run carries the cutover.
    """
    # before anybody is asked: a question after a rollback would be answered for nothing
    run.current_state()
    asked = Approval(
        cutover_id=run.id, stage=question.subject, round=question.round,
        ordinal=ordinal, epoch=run.epoch, question=question.text(agreed + 1),
        asked_at=clock.now(), flow_run_id=run.flow_run_id)
    return approvals.ask(run.site.store, asked)


def form_of(asked: Approval) -> str:
    """Return how the names of all forms for a question begin; after it comes the attempt."""
    return f"{asked.stage}-r{asked.round}-a{asked.ordinal}-"


def who_may(run: CutoverRun, question: Question) -> tuple[Rules, list[str]]:
    """Return who may answer by the plan in force, and who started what they are asked about."""
    site, subject = run.site, question.subject
    begun_by = starting.starters(
        site.store, run.id, subject, str(run.flow_run_id))
    return rules_of(site.plan, subject), begun_by


def is_last(question: Question, answered: Approval, agreed: int) -> bool:
    """Whether nobody else needs to be asked: enough have agreed, or one has not."""
    return answered.decision is not StageAction.PROMOTE or agreed >= question.needed


def decision_of(answered: Approval) -> StageDecision:
    """Return what follows from the last answer.

    Raises:
        ApprovalRefused: Nobody has answered.
    """
    if answered.decision is None:
        raise ApprovalRefused("nobody has answered")
    comment = f": {answered.comment}" if answered.comment else ""
    reason = f"{answered.approver} decided {answered.decision}{comment}"
    return StageDecision(answered.stage, answered.decision, reason)
