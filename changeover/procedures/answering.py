"""Answering what awaits a decision: who asks is found, its form is filled in, its answer awaited.

For the command line and the console's page. Who answers has shown who they are before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from changeover import clock
from changeover.domain.rollout import Answer, Approval, CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.run_ends import Carrier, Work
from changeover.errors import ApprovalRefused, Refused
from changeover.procedures import proving
from changeover.procedures.approvals import form_of
from changeover.site.site import Site
from changeover.store import approvals, carriers, cutovers, routing

PAUSE_SECONDS = 0.5
Ended = Callable[[Site, Carrier | None], str]
"""How a run ended before its work was done, in words; empty while it goes on."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds.

    Args:
        form: For a run that asks to have its form ready.
        answer: For the flow to store the answer: its process starts first.
    """

    form: float = 60.0
    answer: float = 120.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an answer: one sentence, and whether the flow has stored it."""

    text: str
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """A question, and how to find out whether its run has ended."""

    site: Site
    asked: Approval
    ended: Ended
    patience: Patience = Patience()


def give(asking: Asking, given: Answer) -> Answered:
    """Hand a person's answer to the run that asks, and wait until it has stored it.

    Raises:
        ApprovalRefused: By the plan it does not count, it was answered already, or nobody carries
            the cutover any more.
        Unreachable: Prefect does not answer.
    """
    site, asked = asking.site, asking.asked
    run_id = _run_that_asks(asking)
    fields = {"decision": str(given.decision)}
    fields |= {"approver": given.approver, "comment": given.comment}
    # a form that takes typed names has no such field
    if code := proving.code_for_form(site, asked, given, source=given.source):
        fields["code"] = code
    _resume(asking, run_id, fields)
    answered = _await_answer(asking)
    # nothing stored yet: the run may have ended since it was asked
    if answered is None:
        _refuse_ended(asking, "the answer did not count")
    if answered is None or answered.is_void:
        return Answered("Prefect has the answer; the flow has not acted on it yet", False)
    what = f"{answered.decision} on stage {asked.stage}"
    return Answered(f"{answered.approver} decided {what}", True)


def open_question(site: Site) -> Approval:
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


def _run_that_asks(asking: Asking) -> str:
    """Return the flow run that waits for the answer.

    Raises:
        ApprovalRefused: The run has ended in Prefect, or there never was one.
    """
    site, asked = asking.site, asking.asked
    _refuse_ended(asking, "the answer changed nothing")
    cutover = cutovers.get(site.store, asked.cutover_id)
    # a running cutover may have been continued by another run since it asked
    is_running = cutover.status is CutoverStatus.RUNNING
    run_id = cutover.flow_run_id if is_running else asked.flow_run_id
    if not run_id:
        raise ApprovalRefused("no flow run carries out this cutover")
    return run_id


def _refuse_ended(asking: Asking, what: str) -> None:
    """Refuse an answer to a question whose run has ended in Prefect, and say what can be done."""
    site, asked = asking.site, asking.asked
    cutover = cutovers.subject(asked.cutover_id)
    retirement = f"{Work.RETIREMENT} {asked.cutover_id}"
    # a question belongs to the cutover, or to the retirement that follows it
    for subject in (cutover, retirement):
        carrier = carriers.one(site.store, site.migration, subject)
        if end := asking.ended(site, carrier):
            raise ApprovalRefused(f"{what} because nobody carries on {subject}. {end}")


def _resume(asking: Asking, run_id: str, answers: dict[str, Any]) -> None:
    """Answer the form; a run that has just been suspended stores its form a moment later."""
    site = asking.site
    deadline = time.monotonic() + asking.patience.form
    while True:
        _refuse_other(asking, run_id)
        try:
            return site.prefect.resume(run_id, answers)
        except Refused:
            is_late = time.monotonic() > deadline
            _refuse_answered(site, run_id, is_late)
            if is_late:
                raise
            time.sleep(PAUSE_SECONDS)


def _refuse_other(asking: Asking, run_id: str) -> None:
    """Refuse when the question was answered, or the run asks another one: this is no answer to it.

    Where names are typed, all forms are alike.
    """
    site, asked = asking.site, asking.asked
    known = next(each for each in approvals.all_of(site.store, asked.cutover_id)
                 if each.id == asked.id)
    if known.decision is not None or known.is_void:
        raise ApprovalRefused(
            f"this was answered already: {known.approver} decided {known.decision} on stage "
            f"{asked.stage}; your answer changed nothing", where=f"flow run {run_id}",
            next_step="See what is asked now: `changeover status`")
    run = site.prefect.run(run_id)
    if run is not None and run.form and not run.form.startswith(form_of(asked)):
        raise ApprovalRefused(
            f"the cutover asks something else by now, not about {asked.stage}; your answer "
            "changed nothing", where=f"flow run {run_id}",
            next_step="See what is asked now: `changeover status`")


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


def _await_answer(asking: Asking) -> Approval | None:
    """Return the approval once the flow has stored the answer, or None when that takes long."""
    site, asked, longest = asking.site, asking.asked, asking.patience.answer

    def answered() -> Approval | None:
        for known in approvals.all_of(site.store, asked.cutover_id):
            if known.id == asked.id and known.decision is not None:
                return known
        return None

    return clock.poll_until(answered, bool, seconds=longest, pause=PAUSE_SECONDS)
