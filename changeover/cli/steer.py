"""Commands that steer a running cutover: pause, resume, extend, promote-now, skip-stage."""

from __future__ import annotations

import click

from changeover.cli import completing
from changeover.cli.common import Session, anywhere_command
from changeover.cli.proving import token_if_needed
from changeover.cli.saying import approver_option, why_option
from changeover.domain.approvers import rules_of
from changeover.domain.audit import Author
from changeover.plan.until import longer_by
from changeover.procedures import by_hand, steering
from changeover.procedures.by_hand import Done


@click.command(epilog="\b\nExample:\n  changeover pause --reason 'the provider has trouble'")
@why_option
@anywhere_command
def pause(session: Session, reason: str) -> None:
    """Keep a running cutover where it is: nothing is promoted, and no soak counts.

    Triggers go on watching, and a rollback is possible at any time.
    """
    _show(session, by_hand.pause(session.site, Author(session.actor, reason)))


@click.command(epilog="\b\nExample:\n  changeover resume --reason 'the provider is well again'")
@why_option
@anywhere_command
def resume(session: Session, reason: str) -> None:
    """Let a paused cutover go on; what was left of the soak is still left."""
    _show(session, by_hand.resume(session.site, Author(session.actor, reason)))


@click.command(epilog="\b\nExamples:\n  changeover extend 2d --reason 'over the weekend'\n"
               "  changeover extend 4h --reason 'until the batch run is through'")
@click.argument("duration")
@why_option
@anywhere_command
def extend(session: Session, duration: str, reason: str) -> None:
    """Let the stage that soaks now soak longer by DURATION, as 4h or 2d.

    The same duration for the same reason counts once; give another reason to extend once more.
    """
    by = longer_by(duration, where="DURATION")
    author = Author(session.actor, reason)
    _show(session, by_hand.extend(session.site, author, by))


@click.command("promote-now", epilog="\b\nExample:\n  changeover promote-now --approver alice "
               "--reason 'the fix must be out before noon'")
@approver_option
@why_option
@anywhere_command
def promote_now(session: Session, approver: str, reason: str) -> None:
    """End the present soak now; needs as many people as the stage's approval.

    The gate is judged at once: a failed check rolls back, and an alarm of a guardrail asks people,
    as ever. Too little data no longer keeps the stage from being promoted.
    """
    site = session.site
    cutover = steering.running(site)
    record = steering.soaking(site, cutover)
    rules = rules_of(site.plan, record.key)
    token = token_if_needed(session, approver, rules)
    author = Author(approver, reason)
    _show(session, by_hand.promote_now(site, author, record, token))


@click.command("skip-stage", epilog="\b\nExample:\n  changeover skip-stage gradual-25 "
               "--approver alice --reason 'proved in the pilot'")
@click.argument("stage", shell_complete=completing.stages)
@approver_option
@why_option
@anywhere_command
def skip_stage(session: Session, stage: str, approver: str, reason: str) -> None:
    """Leave out a stage that was not entered yet; needs as many people as its approval."""
    site = session.site
    cutover = steering.running(site)
    spec = steering.later_stage(site, cutover, stage)
    rules = rules_of(site.plan, spec.key)
    token = token_if_needed(session, approver, rules)
    author = Author(approver, reason)
    _show(session, by_hand.skip_stage(site, author, spec.key, token))


def _show(session: Session, done: Done) -> None:
    session.show(done.lines, done.data)
