"""The command that answers what awaits a decision: approve, hold or roll back."""

from __future__ import annotations

import time
from typing import Any

import click

from changeover import clock
from changeover.cli.common import Session, site_command
from changeover.cli.proving import token_if_needed
from changeover.cli.runs import describe_end
from changeover.domain.approvers import rules_of
from changeover.domain.rollout import ANSWERS, Answer, Approval, CutoverStatus, StageAction
from changeover.domain.routing import Mode
from changeover.domain.run_ends import Work
from changeover.errors import ApprovalRefused, Refused
from changeover.procedures import proving
from changeover.site.site import Site
from changeover.store import approvals, carriers, cutovers, routing

ANSWER_SECONDS = 120.0
"""How long the flow may take to store the answer: its process starts first."""
FORM_SECONDS = 60.0
PAUSE_SECONDS = 0.5


@click.command(epilog="""
\b
Examples:
  changeover approve promote --approver alice
  changeover approve hold --approver alice --comment "wait for Monday"
""")
@click.argument("decision", type=click.Choice([str(answer) for answer in ANSWERS]))
@click.option("--approver", required=True, help="Your name, for the audit.")
@click.option("--comment", default="", help="Why.")
@site_command
def approve(session: Session, **answer: str) -> None:
    """Approve, hold or roll back what awaits a decision, as in Prefect's page."""
    site = session.site
    asked = _open_question(site)
    run_id = _run_that_asks(site, asked)
    person = answer["approver"]
    token_if_needed(session, person, rules_of(site.plan, asked.stage))
    decision = StageAction(answer["decision"])
    given = Answer(decision, person, answer["comment"], "cli")
    if code := proving.code_for_form(site, asked, given, source="cli"):
        answer["code"] = code
    _resume(site, run_id, answer)
    answered = _await_answer(site, asked)
    # nothing stored yet: the run may have ended since it was asked
    if answered is None:
        _refuse_ended(site, asked, "the answer did not count")
    is_taken = answered is not None and not answered.is_void
    text = "Prefect has the answer; the flow has not acted on it yet"
    if answered is not None and is_taken:
        what = f"{answered.decision} on stage {asked.stage}"
        text = f"{answered.approver} decided {what}"
    data = {"stage": asked.stage, "decision": answer["decision"]}
    session.show(text, data | {"is_taken": is_taken})


def _open_question(site: Site) -> Approval:
    """Return what the cutover waits for.

    Raises:
        ApprovalRefused: It waits for nothing, or a rollback came first.
    """
    state = routing.read(site.store, site.migration)
    asked = approvals.open_for(site.store, site.migration)
    where = f"migration {site.migration}"
    # asked first: after a rollback the question may be open still, and nobody acts on it
    if state.mode is Mode.EMERGENCY_ROLLBACK or (asked and asked.epoch != state.epoch):
        raise ApprovalRefused(
            "the approval changes nothing because a rollback came first",
            where=where, next_step="See `changeover history`",
        )
    if asked is None:
        raise ApprovalRefused(
            "nothing waits for an approval now",
            where=where, next_step="See `changeover status`",
        )
    return asked


def _run_that_asks(site: Site, asked: Approval) -> str:
    """Return the flow run that waits for the answer.

    Raises:
        ApprovalRefused: The run has ended in Prefect, or there never was one.
    """
    _refuse_ended(site, asked, "the answer changed nothing")
    cutover = cutovers.get(site.store, asked.cutover_id)
    # a running cutover may have been continued by another run since it asked
    is_running = cutover.status is CutoverStatus.RUNNING
    run_id = cutover.flow_run_id if is_running else asked.flow_run_id
    if not run_id:
        raise ApprovalRefused("no flow run carries out this cutover")
    return run_id


def _refuse_ended(site: Site, asked: Approval, what: str) -> None:
    """Refuse an answer to a question whose run has ended in Prefect, and say what can be done."""
    cutover = cutovers.subject(asked.cutover_id)
    retirement = f"{Work.RETIREMENT} {asked.cutover_id}"
    # a question belongs to the cutover, or to the retirement that follows it
    for subject in (cutover, retirement):
        carrier = carriers.one(site.store, site.migration, subject)
        if end := describe_end(site, carrier):
            raise ApprovalRefused(f"{what} because nobody carries on {subject}. {end}")


def _resume(site: Site, run_id: str, answers: dict[str, Any]) -> None:
    """Answer the form; a run that has just been suspended stores its form a moment later."""
    deadline = time.monotonic() + FORM_SECONDS
    while True:
        try:
            return site.prefect.resume(run_id, answers)
        except Refused:
            is_late = time.monotonic() > deadline
            _refuse_answered(site, run_id, is_late)
            if is_late:
                raise
            time.sleep(PAUSE_SECONDS)


def _refuse_answered(site: Site, run_id: str, is_late: bool) -> None:
    """Refuse when the run waits no longer: somebody else was faster.

    A run that resumes was answered. One that runs, or is brought back after a kill, may be about
    to ask: only when that takes too long, it counts as answered.
    """
    run = site.prefect.run(run_id)
    if run is None:
        return
    is_under_way = run.state_type in ("SCHEDULED", "PENDING", "RUNNING")
    if run.state_name == "Resuming" or (is_late and is_under_way):
        doing = f"the flow is {run.state_name.lower()}"
        raise ApprovalRefused(
            f"this was answered already; {doing} and has not acted on it yet",
            where=f"flow run {run_id}",
            next_step="See `changeover status` in a moment")


def _await_answer(site: Site, asked: Approval) -> Approval | None:
    """Return the approval once the flow has stored the answer, or None when that takes long."""
    def answered() -> Approval | None:
        for known in approvals.all_of(site.store, asked.cutover_id):
            if known.id == asked.id and known.decision is not None:
                return known
        return None

    return clock.poll_until(answered, bool, seconds=ANSWER_SECONDS, pause=PAUSE_SECONDS)
