"""Commands that decide: approve, enable, advance, disable, rollback, recover, maintenance."""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from changeover import clock
from changeover.cli.common import home_option, output_option, show
from changeover.cli.runs import told_end
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import ANSWERS, Approval, CutoverStatus
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.domain.run_ends import Work
from changeover.domain.stages import change_for, shadow_buckets
from changeover.errors import ApprovalRefused, InvalidInput, PublishFailed, Refused, StoreBusy
from changeover.gateway.publish import Gateway
from changeover.plan.model import PhaseKind, Stage
from changeover.plan.units import parse_percent
from changeover.procedures import baseline, retirement_note, rollback, traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import approvals, carriers, cutovers, flags, routing

ANSWER_SECONDS = 120.0
FORM_SECONDS = 60.0
ENABLED = (Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL, Mode.CANDIDATE_ONLY)


@click.command(epilog="""
\b
Examples:
  changeover approve promote --approver alice
  changeover approve hold --approver alice --comment "wait for Monday"
""")
@click.argument("decision", type=click.Choice([str(answer) for answer in ANSWERS]))
@click.option("--approver", required=True, help="Your name, for the audit.")
@click.option("--comment", default="", help="Why.")
@home_option
@output_option
def approve(
    decision: str, approver: str, comment: str, home: Path | None, migration: str | None,
    output: str,
) -> None:
    """Approve, hold or roll back what awaits a decision, as in Prefect's page."""
    found = Site.open(home, migration)
    asked = _open_question(found)
    run_id = _run_that_asks(found, asked)
    _resume(found, run_id, {
        "decision": decision, "approver": approver, "comment": comment})
    answered = _await_answer(found, asked)
    if answered is None:
        _refuse_ended(found, asked, "the answer did not count")
    done = answered is not None and answered.decision is not None and not answered.is_void
    text = (f"{answered.approver} decided {answered.decision} on stage {asked.stage}"
            if answered is not None and done
            else "Prefect took the answer; the flow has not acted on it yet")
    show(output, text, {"stage": asked.stage, "decision": decision, "is_taken": done})


@click.command(epilog="\b\nExamples:\n  changeover advance\n  changeover advance --percent 25")
@click.option("--percent", help="Share of users; default: the plan's next stage.")
@click.option("--reason", default="by hand", show_default=True, help="Why, for the audit.")
@home_option
@output_option
def advance(
    percent: str | None, reason: str, home: Path | None, migration: str | None, output: str
) -> None:
    """Move more users to the candidate by hand, without gates; refused while a cutover runs."""
    found = Site.open(home, migration)
    _refuse_in_cutover(found, "not advanced")
    change = _advance_to(found, percent)
    _apply(found, change, reason, output)


@click.command("rollback", epilog="""
\b
Examples:
  changeover rollback --reason "customers see wrong totals"
  changeover rollback --reason "database down" --break-glass
""")
@click.option("--reason", required=True, help="What happened; kept in the audit.")
@click.option("--break-glass", is_flag=True, help="Without Prefect and without the store.")
@home_option
@output_option
def rollback_command(
    reason: str, break_glass: bool, home: Path | None, migration: str | None, output: str
) -> None:
    """Send everyone back to the baseline, now; the rest of the SOP follows by itself."""
    if break_glass:
        gateway = Gateway(Home.resolve(home).gateway_files)
        if not gateway.files.safe_routes.exists():
            raise InvalidInput("no gateway was ever started with this home directory",
                               where=str(gateway.files.root), next_step="Give it with --home DIR")
        retirement_note.refuse(gateway.files)
        entry = gateway.break_glass(reason=reason, actor=getpass.getuser(), now=clock.now())
        show(output, "everyone is at the baseline (break glass); the observer tells the store",
             entry)
        return
    found = Site.open(home, migration)
    try:
        started = rollback.start(found, Cause(reason, getpass.getuser()))
    except StoreBusy as busy:
        entry = _move_first(found, reason, busy)
        show(output, "everyone is at the baseline; the store is busy and follows: the observer "
             f"tells it ({busy.what})", entry)
        return
    if started.publication is None:
        raise PublishFailed(
            f"the routing state says rollback, but the gateway: {started.problem}",
            next_step="Try again with --break-glass",
        )
    show(output, f"everyone is at the baseline: {started.state.describe()}",
         {"state": started.state.describe(), "epoch": started.state.epoch})


def _move_first(found: Site, reason: str, busy: StoreBusy) -> dict[str, Any]:
    """Send everyone to the baseline although the store is busy; it must be there for them.

    Raises:
        StoreBusy: The baseline was taken out of use: only with the store it is brought back.
        Refused: It was retired and is not well.
    """
    if baseline.is_out_of_use(found.store, found.plan):
        raise busy
    retirement_note.refuse(found.gateway.files)
    return found.gateway.break_glass(
        reason=reason, actor=getpass.getuser(), busy=busy.what, now=clock.now())


@click.command(epilog="\b\nExamples:\n  changeover enable shadow\n  changeover enable parallel\n"
               "  changeover enable gradual --percent 5\n"
               "  changeover enable              the plan's first stage that has users")
@click.argument("mode", type=click.Choice([str(mode) for mode in ENABLED]), default="gradual")
@click.option("--percent", help="Share of users in `gradual`; default: the plan's next stage.")
@click.option("--reason", default="by hand", show_default=True, help="Why, for the audit.")
@home_option
@output_option
def enable(
    mode: str, percent: str | None, reason: str, home: Path | None, migration: str | None,
    output: str,
) -> None:
    """Go to a mode by hand, without gates; refused while a cutover runs."""
    found = Site.open(home, migration)
    _refuse_in_cutover(found, f"{mode} was not enabled")
    wanted = Mode(mode)
    if percent is not None and wanted is not Mode.GRADUAL:
        raise InvalidInput(f"mode {mode} has no percentage", where="--percent", allowed="gradual")
    change = Change(mode=wanted)
    if wanted is Mode.GRADUAL:
        change = _advance_to(found, percent, with_users=True)
    elif found.plan.shadow and wanted in (Mode.SHADOW, Mode.PARALLEL):
        change = Change(mode=wanted, shadow_sample=shadow_buckets(found.plan))
    _apply(found, change, reason, output)


@click.command(epilog="\b\nExample:\n  changeover disable --reason 'the pilot is over'")
@click.option("--reason", required=True, help="Why, for the audit.")
@home_option
@output_option
def disable(reason: str, home: Path | None, migration: str | None, output: str) -> None:
    """Go back to baseline_only in good order; when something is wrong, use `rollback`."""
    found = Site.open(home, migration)
    _refuse_in_cutover(found, "the candidate was not disabled")
    baseline.bring_back(found.store, found.plan, actor=getpass.getuser())
    _apply(found, Change(mode=Mode.BASELINE_ONLY), reason, output)


@click.command(epilog="\b\nExample:\n  changeover recover --reason 'bug 42 is mended'")
@click.option("--reason", required=True, help="Why it is safe again.")
@home_option
@output_option
def recover(reason: str, home: Path | None, migration: str | None, output: str) -> None:
    """End an emergency rollback: back to baseline_only, so that a new cutover may begin.

    Flags stay as the rollback set them; the output names those.
    """
    found = Site.open(home, migration)
    change = Change(mode=Mode.BASELINE_ONLY, is_by_person=True)
    _apply(found, change, reason, output, notes=_safe_still(found))


@click.command(epilog="\b\nExample:\n  changeover maintenance on --reason 'moving the database'")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option("--reason", required=True, help="Shown to users and kept in the audit.")
@home_option
@output_option
def maintenance(
    switch: str, reason: str, home: Path | None, migration: str | None, output: str
) -> None:
    """Answer users with 503 and the reason, or let them through again."""
    found = Site.open(home, migration)
    _apply(found, Change(maintenance=switch == "on", maintenance_reason=reason), reason, output)


@click.command("shadow", epilog="\b\nExamples:\n  changeover shadow 5%     copy a twentieth\n"
               "  changeover shadow 0      pause; the next stage begins with the plan's share")
@click.argument("sample")
@click.option("--reason", default="by hand", show_default=True, help="Why, for the audit.")
@home_option
@output_option
def shadow_command(
    sample: str, reason: str, home: Path | None, migration: str | None, output: str
) -> None:
    """Change the share of requests that are copied to the candidate for comparison."""
    found = Site.open(home, migration)
    if found.plan.shadow is None:
        raise InvalidInput(
            "the plan has no shadow", where=f"migration {found.plan.migration}",
            next_step="Add `shadow: {sample: 10%}` to the plan and run `changeover up` again",
        )
    try:
        share = parse_percent(sample)
    except ValueError as error:
        raise InvalidInput(str(error), where="SAMPLE", allowed="0 to 100, as 5%") from error
    _apply(found, Change(shadow_sample=int(share * 100)), reason, output)


def _safe_still(found: Site) -> list[str]:
    """Return a note for each safe flag that is not what the plan says."""
    changed = flags.drift(
        found.store, found.plan.migration, found.plan.environment or flags.BASE)
    return [f"flag {name} stays as the rollback set it: `changeover flags reset {name}` ends that"
            for name in found.plan.rollback.safe_flags
            if name in changed and changed[name][0] is not flags.GONE]


def _apply(
    found: Site, change: Change, reason: str, output: str, *, notes: Sequence[str] = ()
) -> None:
    """Change the routing state as the present user, publish, and show it with the notes."""
    state = traffic.move(found, change, actor=getpass.getuser(), reason=reason)
    show(output, "\n".join([state.describe(), *(f"note: {note}" for note in notes)]),
         {"state": state.describe(), "version": state.version, "notes": list(notes)})


def _open_question(found: Site) -> Approval:
    """Return what the cutover waits for.

    Raises:
        ApprovalRefused: It waits for nothing, or a rollback came first.
    """
    state = routing.read(found.store, found.plan.migration)
    asked = approvals.open_for(found.store, found.plan.migration)
    if state.mode is Mode.EMERGENCY_ROLLBACK or (asked and asked.epoch != state.epoch):
        raise ApprovalRefused(
            "the approval changes nothing because a rollback came first",
            where=f"migration {found.plan.migration}", next_step="See `changeover history`",
        )
    if asked is None:
        raise ApprovalRefused(
            "nothing waits for an approval now", where=f"migration {found.plan.migration}",
            next_step="See `changeover status`",
        )
    return asked


def _run_that_asks(found: Site, asked: Approval) -> str:
    """Return the flow run that takes the answer.

    Raises:
        ApprovalRefused: No run carries on what is asked about.
    """
    _refuse_ended(found, asked, "the answer was not taken")
    cutover = cutovers.get(found.store, asked.cutover_id)
    is_running = cutover.status is CutoverStatus.RUNNING  # then it may have been continued since
    run_id = cutover.flow_run_id if is_running else asked.flow_run_id
    if not run_id:
        raise ApprovalRefused("nobody carries out this cutover")
    return run_id


def _refuse_ended(found: Site, asked: Approval, what: str) -> None:
    """Refuse an answer to a question whose run has ended in Prefect, and say what can be done."""
    subjects = (cutovers.subject(asked.cutover_id), f"{Work.RETIREMENT} {asked.cutover_id}")
    for subject in subjects:
        carrier = carriers.one(found.store, found.plan.migration, subject)
        if told := told_end(found, carrier):
            raise ApprovalRefused(f"{what} because nobody carries on {subject}. {told}")


def _resume(found: Site, run_id: str, answers: dict[str, Any]) -> None:
    """Answer the form; a run that has just been suspended stores its form a moment later."""
    deadline = time.monotonic() + FORM_SECONDS
    while True:
        try:
            return found.prefect.resume(run_id, answers)
        except Refused:
            is_late = time.monotonic() > deadline
            _refuse_answered(found, run_id, is_late)
            if is_late:
                raise
            time.sleep(0.5)


def _refuse_answered(found: Site, run_id: str, is_late: bool) -> None:
    """Say so when the run does not wait: somebody was faster, and the flow is on its way.

    A run that resumes was answered; one that runs, or is brought back after a kill, may be about
    to ask.
    """
    run = found.prefect.run(run_id)
    if run is not None and (run.state_name == "Resuming" or (
        is_late and run.state_type in ("SCHEDULED", "PENDING", "RUNNING")
    )):
        raise ApprovalRefused(
            f"this was answered already; the flow is {run.state_name.lower()} and has not acted "
            "on it yet", where=f"flow run {run_id}",
            next_step="See `changeover status` in a moment",
        )


def _await_answer(found: Site, asked: Approval) -> Approval | None:
    """Return the approval once the flow has stored the answer, or None when it takes long."""
    def answered() -> Approval | None:
        return next((known for known in approvals.all_of(found.store, asked.cutover_id)
                     if known.id == asked.id and known.decision is not None), None)

    return clock.look_until(answered, bool, seconds=ANSWER_SECONDS, pause=0.3)


def _refuse_in_cutover(found: Site, what: str) -> None:
    running = cutovers.active(found.store, found.plan.migration)
    if running is not None:
        carrier = carriers.one(
            found.store, found.plan.migration, cutovers.subject(running.id))
        if told := told_end(found, carrier):
            raise Refused(f"{what} because cutover {running.id} is not ended, and nobody carries "
                          f"it on. {told}")
        raise Refused(
            f"{what} because cutover {running.id} decides by its gates",
            next_step="Answer it with `changeover approve`, or end it with `changeover rollback`",
        )


def _advance_to(
    found: Site, percent: str | None, *, with_users: bool = False
) -> Change:
    """Return the change to the wished percentage, or to the plan's next stage (`with_users`)."""
    state = routing.read(found.store, found.plan.migration)
    if percent is None:
        stage = _next_stage(found, state, with_users=with_users)
        return change_for(stage, found.plan, state.epoch)
    try:
        weight = int(parse_percent(percent) * 100)
    except ValueError as error:
        raise InvalidInput(str(error), where="--percent") from None
    mode = Mode.CANDIDATE_ONLY if weight == 10_000 else Mode.GRADUAL
    # segments stay those that are moved when this is written, not when it was read
    return Change(mode=mode, weight=weight, expected_epoch=state.epoch)


def _next_stage(found: Site, state: RoutingState, *, with_users: bool) -> Stage:
    may_shadow = state.mode is Mode.BASELINE_ONLY and not with_users
    for stage in found.plan.stages():
        is_shadow = stage.phase is PhaseKind.SHADOW and may_shadow
        if is_shadow or (stage.phase is not PhaseKind.SHADOW and stage.weight > state.weight):
            return stage
    raise Refused("not advanced because the candidate serves everyone already")
