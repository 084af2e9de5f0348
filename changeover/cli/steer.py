"""Commands that steer a running cutover: pause, resume, extend, promote-now, skip-stage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from changeover import clock
from changeover.cli.common import Session, site_command
from changeover.cli.proving import token_if_needed
from changeover.cli.saying import approver_option, why_option
from changeover.domain.approvers import rules_of
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Cutover
from changeover.errors import InvalidInput
from changeover.plan.units import format_duration, parse_duration
from changeover.procedures import steering
from changeover.store import cutovers, instructions, members, upcoming


@click.command(epilog="\b\nExample:\n  changeover pause --reason 'the provider has trouble'")
@why_option
@site_command
def pause(session: Session, reason: str) -> None:
    """Keep a running cutover where it is: nothing is promoted, and no soak counts.

    Triggers go on watching, and a rollback is possible at any time.
    """
    cutover = steering.running(session.site)
    wanted = Instruction(
        cutover.id, InstructionKind.PAUSE,
        session.actor, reason, clock.now())
    # who paused it first is named, not who said it again
    given = instructions.pause(session.site.store, wanted)
    since = f"since {given.at:%F %T} UTC by {given.actor}"
    _show(session, cutover,
          f"cutover {cutover.id} is paused {since}: {given.reason}")


@click.command(epilog="\b\nExample:\n  changeover resume --reason 'the provider is well again'")
@why_option
@site_command
def resume(session: Session, reason: str) -> None:
    """Let a paused cutover go on; what was left of the soak is still left."""
    site = session.site
    cutover = steering.running(site)
    wanted = Instruction(
        cutover.id, InstructionKind.RESUME,
        session.actor, reason, clock.now())
    instructions.resume(site.store, wanted)
    soak = ""
    for record in cutovers.stages(site.store, cutover.id):
        # the present stage is the only one that is not decided
        if record.decided_at is None:
            soak = f"; {record.key} soaks until {record.soak_until:%F %T} UTC"
    _show(session, cutover, f"cutover {cutover.id} goes on{soak}")


@click.command(epilog="\b\nExamples:\n  changeover extend 2d --reason 'over the weekend'\n"
               "  changeover extend 4h --reason 'until the batch run is through'")
@click.argument("duration")
@why_option
@site_command
def extend(session: Session, duration: str, reason: str) -> None:
    """Let the stage that soaks now soak longer by DURATION, as 4h or 2d.

    The same duration for the same reason counts once; give another reason to extend once more.
    """
    by, site = _duration(duration), session.site
    cutover = steering.running(site)
    stage = steering.soaking(site, cutover)
    wanted = Instruction(
        cutover.id, InstructionKind.EXTEND,
        session.actor, reason, clock.now(),
        stage.key, stage.round, round(by.total_seconds()))
    instructions.extend(site.store, wanted)
    # read again: the soak's end is what the store made of it
    now = cutovers.stage(site.store, cutover.id, stage.key) or stage
    until = f"until {now.soak_until:%F %T} UTC"
    longer = f"longer by {format_duration(by)}"
    _show(session, cutover, f"{stage.key} soaks {longer}, {until}")


@click.command("promote-now", epilog="\b\nExample:\n  changeover promote-now --approver alice "
               "--reason 'the fix must be out before noon'")
@approver_option
@why_option
@site_command
def promote_now(session: Session, approver: str, reason: str) -> None:
    """End the present soak now; needs as many people as the stage's approval.

    The gate is judged at once: a failed check rolls back, and an alarm of a guardrail asks people,
    as ever. Too little data no longer keeps the stage from being promoted.
    """
    site = session.site
    cutover = steering.running(site)
    record = steering.soaking(site, cutover)
    stage = site.plan.stage(record.key)
    rules = rules_of(site.plan, stage.key)
    token = token_if_needed(session, approver, rules)
    wanted = Instruction(
        cutover.id, InstructionKind.PROMOTE_NOW,
        approver, reason, clock.now(), record.key, record.round)
    agreed = instructions.promote_now(site.store, wanted, stage, token)
    needed = instructions.enough(site.store, cutover.id, stage)
    text = f"the soak of {record.key} is over, its gate is judged"
    # fewer people than needed: the instruction is saved and waits for the others
    if len(agreed) < needed:
        count = f"{len(agreed)} of {needed} people agreed"
        text = f"{record.key} soaks on: {count}"
    _show(session, cutover, f"{text} ({', '.join(agreed)})")


@click.command("skip-stage", epilog="\b\nExample:\n  changeover skip-stage gradual-25 "
               "--approver alice --reason 'proved in the pilot'")
@click.argument("stage")
@approver_option
@why_option
@site_command
def skip_stage(session: Session, stage: str, approver: str, reason: str) -> None:
    """Leave out a stage that was not entered yet; needs as many people as its approval."""
    site = session.site
    cutover = steering.running(site)
    spec = steering.later_stage(site, cutover, stage)
    rules = rules_of(site.plan, spec.key)
    token = token_if_needed(session, approver, rules)
    wanted = Instruction(
        cutover.id, InstructionKind.SKIP,
        approver, reason, clock.now(), spec.key)
    agreed = instructions.skip(site.store, wanted, token)
    needed = instructions.enough(site.store, cutover.id, spec)
    text = f"{stage} will be skipped"
    if len(agreed) < needed:
        count = f"{len(agreed)} of {needed} people agreed"
        text = f"{stage} will not be skipped yet: {count}"
    text += f" ({', '.join(agreed)})"
    # later stages may rely on what they do: a person should know
    if spec.hooks.text:
        text += f"; its hooks do not run: {spec.hooks.text}"
    _show(session, cutover, text)


def _duration(text: str) -> timedelta:
    try:
        by = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(str(error), where="DURATION") from error
    if by <= timedelta(0):
        raise InvalidInput(
            f"a soak cannot be extended by {text}",
            where="DURATION", allowed="more than 0")
    return by


def _show(session: Session, cutover: Cutover, text: str) -> None:
    """Wake the cutover's run and say what was done, and for whom the next stage waits all the same.
    """
    site = session.site
    is_woken = steering.wake(site, cutover)
    lines = [text]
    # what was said is saved: no error, only later
    if not is_woken:
        later = "the observer wakes the run as soon as it does"
        lines.append(f"note: Prefect does not answer; {later}")
    stage = upcoming.next_stage(site.store, cutover.id, site.plan)
    if stage is not None:
        why = members.why_wait(site.store, site.plan, stage)
        if why:
            lines.append(f"note: {stage.title} waits: {why}")
    data: dict[str, Any] = {"cutover": cutover.id}
    data |= {"text": text, "is_woken": is_woken}
    session.show("\n".join(lines), data)
