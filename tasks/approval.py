"""Asking people through Prefect's page, and taking their answer for what the store says it is.

A pause that Prefect thinks was passed proves nothing: a run woken by anything but a person's
answer asks again under the next key. What counts is the approval's row in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field, ValidationError

from changeover import clock
from changeover.analysis.gate import Decision
from changeover.domain.rollout import Approval, StageAction
from changeover.errors import ApprovalRefused
from changeover.store import approvals, cutovers, routing
from tasks.lifecycle import cutover_of
from tasks.reporting import approval_question, tell_once
from tasks.runtime import Runtime, current_state, root_run_id, runtime_of


class StageApproval(RunInput):
    """The form that a person fills in; decision and approver have no default on purpose."""

    decision: Literal["promote", "hold", "rollback"] = Field(
        description="promote: go to the next stage. hold: soak this stage once more. "
        "rollback: all users back to the baseline."
    )
    approver: str = Field(min_length=2, max_length=100, description="Your name, for the audit.")
    comment: str = Field(default="", max_length=2000, description="Why, if there is more to say.")


async def ask_people(
    migration: str, cutover_id: int, stage: str, reason: str, round_: int
) -> Decision:
    """Suspend the run until the stage's approvers have decided, and return the decision.

    Args:
        migration: Name of the migration.
        cutover_id: The cutover.
        stage: Key of the stage that is to be left.
        reason: Why they are asked: the gate's result.
        round_: Which soak of the stage they are asked about, from 1.

    Raises:
        StaleEpoch: A rollback came first; the answer, if one was given, is kept as void.
        Pause: Nobody has answered yet; Prefect ends the process and resumes on the answer.
    """
    runtime = runtime_of(migration)
    needed = max(1, runtime.plan.stage(stage).approvers)
    cutovers.wait_for_approval(runtime.store, cutover_id, stage)
    return await _ask_each(
        runtime, cutover_id, stage, round_, needed,
        lambda ordinal: approval_question(migration, cutover_id, stage, reason, ordinal))


async def ask_about(
    migration: str, cutover_id: int, subject: str, question: str, *, needed: int, round_: int = 1
) -> Decision:
    """Suspend the run until people have decided about something that is no stage.

    Args:
        migration: Name of the migration.
        cutover_id: The cutover.
        subject: What it is about, a short name as `disable-baseline`.
        question: Markdown above the form; says what each decision means.
        needed: How many different people must agree.
        round_: How often they are asked about it, from 1.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    runtime = runtime_of(migration)
    return await _ask_each(runtime, cutover_id, subject, round_, needed, lambda _ordinal: question)


async def _ask_each(
    runtime: Runtime, cutover_id: int, stage: str, round_: int, needed: int,
    question: Callable[[int], str],
) -> Decision:
    answered = None
    for ordinal in range(1, needed + 1):
        cutover = cutover_of(runtime.migration, cutover_id)
        current_state(runtime, cutover)
        asked = approvals.ask(
            runtime.store, cutover_id=cutover_id, stage=stage, round=round_,
            ordinal=ordinal, epoch=cutover.epoch, question=question(ordinal), now=clock.now(),
            flow_run_id=str(root_run_id()),
        )
        answered = await _answer_of(runtime, asked)
        if answered.decision is not StageAction.PROMOTE:
            break
    return _decision(answered)


def _decision(answered: Approval | None) -> Decision:
    if answered is None or answered.decision is None:
        raise ApprovalRefused("nobody was asked")
    comment = f": {answered.comment}" if answered.comment else ""
    action = answered.decision
    return Decision(action, f"{answered.approver} decided {action}{comment}")


async def _answer_of(runtime: Runtime, asked: Approval) -> Approval:
    """Return the answer in the store, or suspend until the form brings one that is taken."""
    if asked.decision is not None:
        return asked
    await tell_once(runtime, asked)
    attempt, note = 0, ""
    while True:
        key = f"{asked.stage}-r{asked.round}-a{asked.ordinal}-{attempt}"
        attempt += 1
        form = await suspend_until_answered(key, note + asked.question)
        if form is None:
            continue  # woken without an answer: ask under the next key
        try:
            return approvals.answer(
                runtime.store, asked.id, decision=StageAction(form.decision),
                approver=form.approver, comment=form.comment, source="prefect",
                epoch=routing.read(runtime.store, runtime.migration).epoch, now=clock.now(),
            )
        except ApprovalRefused as refusal:
            get_run_logger().warning("Approval of %s: %s", asked.stage, refusal)
            current_state(runtime, cutover_of(runtime.migration, asked.cutover_id))
            note = f"> **The last answer was not taken:** {refusal}\n\n"


async def suspend_until_answered(key: str, description: str) -> StageApproval | None:
    """Return the form's answer under `key`; None when the run was woken without one."""
    try:
        return await asuspend_flow_run(
            wait_for_input=StageApproval.with_initial_data(description=description),
            key=key,
            timeout=None,
        )
    except ValidationError:
        return None
