"""Asking people through Prefect's page, and taking their answer for what the store says it is.

A pause that Prefect thinks was passed proves nothing: a run woken by anything but a person's
answer asks again under the next key. What counts is the approval's row in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field, ValidationError

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.approvers import rules_of
from changeover.domain.rollout import Answer, Approval, StageAction
from changeover.errors import ApprovalRefused
from changeover.procedures import reviews
from changeover.procedures.approvals import (
    Question,
    ask,
    decision_of,
    form_of,
    is_last,
    who_may,
)
from changeover.procedures.steps import CutoverRun
from changeover.store import approvals, cutovers, routing
from reports import asking
from tasks.report import announce_once, approval_question


class StageApproval(RunInput):
    """The form that a person fills in; decision and approver have no default on purpose."""

    decision: Literal["promote", "hold", "rollback"] = Field(
        description="promote: go to the next stage. hold: soak this stage once more. "
        "rollback: all users back to the baseline."
    )
    approver: str = Field(
        min_length=2, max_length=100, pattern=r"\S\s*\S", description="Your name, for the audit.")
    comment: str = Field(default="", max_length=2000, description="Why, if there is more to say.")


class ProvenApproval(StageApproval):
    """The form where the plan wants people to show who they are."""

    code: str = Field(
        min_length=4, max_length=100,
        description="From `changeover approver code DECISION`, never your token.")


async def ask_people(run: CutoverRun, stage: str, reason: str, round_: int) -> StageDecision:
    """Suspend the run until the stage's approvers have decided, and return the decision.

    Args:
        run: The cutover.
        stage: Key of the stage that is to be left.
        reason: Why they are asked: the gate's result.
        round_: Which soak of the stage they are asked about, from 1.

    Raises:
        StaleEpoch: A rollback came first; the answer, if one was given, is kept as void.
        Pause: Nobody has answered yet; Prefect ends the process and resumes on the answer.
    """
    needed = max(1, run.site.plan.stage(stage).approvers)
    cutovers.wait_for_approval(run.site.store, run.id, stage)
    return await ask_about(run, Question(
        stage, lambda ordinal: approval_question(run, stage, reason, ordinal), needed, round_))


async def ask_to_review(run: CutoverRun, stage: str, number: int, round_: int) -> StageDecision:
    """Suspend the run until people have said whether a stage goes on soaking.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    return await ask_about(run, reviews.question(run, stage, number, round_))


async def ask_about(run: CutoverRun, question: Question) -> StageDecision:
    """Suspend the run until people have decided, one after the other.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    rules, begun_by = who_may(run, question)
    said = asking.who_may(rules, begun_by)
    needed = max(question.needed, rules.needed_with(begun_by))
    text = _with(question.text, said)
    question = replace(question, text=text, needed=needed)
    # asked again from the first on after every wake-up: answers that were given are in the store
    ordinal, agreed = 1, 0
    while True:
        asked = ask(run, question, ordinal, agreed)
        answered = asked if asked.decision is not None else await _answer_of(run, asked)
        # an amendment may have taken the person from the list since: somebody else is asked
        agreed += rules.allows(answered.approver or "")
        if is_last(question, answered, agreed):
            return decision_of(answered)
        ordinal += 1


def _with(text: Callable[[int], str], said: str) -> Callable[[int], str]:
    """Return the text of a question with who may answer it."""
    return lambda ordinal: f"{text(ordinal)}\n\n{said}" if said else text(ordinal)


async def _answer_of(run: CutoverRun, asked: Approval) -> Approval:
    """Suspend until the form brings an answer that is taken."""
    await announce_once(run, asked)
    attempt, note = 0, ""
    while True:
        key = f"{form_of(asked)}{attempt}"
        attempt += 1
        rules = rules_of(run.site.plan, asked.stage)
        kind = ProvenApproval if rules.tokens else StageApproval
        form = await suspend_until_answered(key, note + asked.question, kind)
        # woken without an answer: ask under the next key
        if form is None:
            continue
        store, action = run.site.store, StageAction(form.decision)
        # the plain form has none
        code = getattr(form, "code", "")
        try:
            given = Answer(
                action, form.approver, form.comment, code=code, form=key)
            # read now, not before the wait: a rollback may have come while people thought
            epoch = routing.read(store, run.migration).epoch
            return approvals.answer(
                store, asked.id, given, epoch=epoch, now=clock.now())
        except ApprovalRefused as refusal:
            get_run_logger().warning("Approval of %s: %s", asked.stage, refusal)
            # raises when a rollback was the reason: then nobody is asked again
            run.current_state()
            note = f"> **The last answer was not taken:** {refusal}\n\n"


async def suspend_until_answered(
    key: str, description: str, kind: type[StageApproval] = StageApproval
) -> StageApproval | None:
    """Return the form's answer under `key`; None when the run was woken without one."""
    try:
        return await asuspend_flow_run(
            wait_for_input=kind.with_initial_data(description=description),
            key=key,
            timeout=None,
        )
    # an answer by the API that is not of the form counts as none
    except ValidationError:
        return None
