"""Commands that move users: enable, advance, disable, rollback, recover, maintenance, shadow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from changeover import clock
from changeover.cli.common import Session, reason_option, site_command
from changeover.cli.saying import no_secret
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.domain.stages import change_for, shadow_buckets
from changeover.errors import InvalidInput, Refused
from changeover.gateway.publish import Gateway
from changeover.observer.carrying import describe_end
from changeover.plan.model import PhaseKind, Stage
from changeover.plan.units import parse_percent
from changeover.procedures import (
    baseline,
    by_hand,
    going_back,
    hook_log,
    members,
    retirement_note,
    waiting,
)
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import carriers, cutovers, routing

ENABLED = (Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL, Mode.CANDIDATE_ONLY)
EVERYONE = 10_000
"""All buckets."""


@click.command(epilog="\b\nExamples:\n  changeover advance\n  changeover advance --percent 25")
@click.option("--percent", help="Share of users; default: the plan's next stage.")
@reason_option
@site_command
def advance(session: Session, percent: str | None, reason: str) -> None:
    """Move more users to the candidate by hand, without gates; refused while a cutover runs."""
    # two that move users at once would undo each other's stages
    _refuse_in_cutover(session.site, "not advanced")
    waiting.refuse_now(session.site, "not advanced", clock.now())
    state = routing.read(session.site.store, session.site.migration)
    # a first step may be the shadow stage; with users on the candidate it would be one back
    may_shadow = state.mode is Mode.BASELINE_ONLY
    change = _advance_to(session.site, state, percent, may_shadow=may_shadow)
    members.refuse_leaving(session.site, state, change, "not advanced")
    notes = hook_log.not_run_by_hand(session.site.plan, state, change)
    _apply(session, change, reason, notes=notes)


@click.command(epilog="\b\nExamples:\n  changeover enable shadow\n  changeover enable parallel\n"
               "  changeover enable gradual --percent 5\n"
               "  changeover enable              the plan's first stage that has users")
@click.argument("mode", type=click.Choice([str(mode) for mode in ENABLED]), default="gradual")
@click.option("--percent", help="Share of users in `gradual`; default: the plan's next stage.")
@reason_option
@site_command
def enable(session: Session, mode: str, percent: str | None, reason: str) -> None:
    """Go to a mode by hand, without gates; refused while a cutover runs."""
    site, wanted = session.site, Mode(mode)
    refusal = f"{mode} was not enabled"
    _refuse_in_cutover(site, refusal)
    waiting.refuse_now(site, refusal, clock.now())
    if percent is not None and wanted is not Mode.GRADUAL:
        raise InvalidInput(
            f"mode {mode} has no percentage",
            where="--percent", allowed="gradual")
    change = Change(mode=wanted)
    if wanted is Mode.GRADUAL:
        state = routing.read(site.store, site.migration)
        change = _advance_to(site, state, percent, may_shadow=False)
    elif site.plan.shadow and wanted in (Mode.SHADOW, Mode.PARALLEL):
        sample = shadow_buckets(site.plan)
        change = Change(mode=wanted, shadow_sample=sample)
    state = routing.read(site.store, site.migration)
    members.refuse_leaving(site, state, change, refusal)
    notes = hook_log.not_run_by_hand(site.plan, state, change)
    _apply(session, change, reason, notes=notes)


@click.command(epilog="\b\nExample:\n  changeover disable --reason 'the pilot is over'")
@click.option("--reason", required=True, callback=no_secret, help="Why, for the audit.")
@site_command
def disable(session: Session, reason: str) -> None:
    """Go back to baseline_only in good order; when something is wrong, use `rollback`."""
    site = session.site
    refusal = "the candidate was not disabled"
    _refuse_in_cutover(site, refusal)
    change = Change(mode=Mode.BASELINE_ONLY)
    state = routing.read(site.store, site.migration)
    members.refuse_leaving(site, state, change, refusal)
    # users are about to need it: a baseline that was taken out of use is started first
    baseline.bring_back(site, actor=session.actor)
    notes = []
    for each in hook_log.left(site):
        way = f"lever {each.lever} would undo it, and a rollback does"
        notes.append(f"{each.step} is not undone; {way}")
    _apply(session, change, reason, notes=notes)


@click.command("rollback", epilog="""
\b
Examples:
  changeover rollback --reason "customers see wrong totals"
  changeover rollback --reason "slower than agreed" --gradual
  changeover rollback --reason "database down" --break-glass
""")
@click.option("--reason", required=True, callback=no_secret, help="What happened, for the audit.")
@click.option("--break-glass", is_flag=True, help="Without Prefect and without the store.")
@click.option("--gradual", is_flag=True, help="In the steps of the plan's `rollback.return`.")
@site_command
def rollback_command(session: Session, reason: str, break_glass: bool, gradual: bool) -> None:
    """Send everyone back to the baseline, now; the rest of the SOP follows by itself."""
    if gradual and break_glass:
        raise InvalidInput(
            "--gradual does not work with --break-glass, which is at once",
            allowed="one of them")
    cause = Cause(session.actor, reason)
    if gradual:
        done = going_back.in_steps(session.site, cause)
        session.show(done.text, done.data)
        return
    if break_glass:
        entry = _break_glass(session, reason)
        later = "the observer records it in the store"
        session.show(f"everyone is at the baseline (break glass); {later}", entry)
        return
    done = going_back.at_once(session.site, cause)
    session.show(done.text, done.data)


def _break_glass(session: Session, reason: str) -> dict[str, Any]:
    """Send everyone to the baseline by the gateway's files alone.

    Raises:
        InvalidInput: No gateway was ever started with this home.
        Refused: The baseline was retired and is not well.
    """
    gateway = Gateway(Home.resolve(session.home).gateway_files)
    # by the file alone: the store, which knows the migrations, may be gone
    if not gateway.files.safe_routes.exists():
        raise InvalidInput(
            "no gateway was ever started with this home directory",
            where=str(gateway.files.root),
            next_step="Give it with --home DIR")
    retirement_note.refuse(gateway.files)
    actor, now = session.actor, clock.now()
    return gateway.break_glass(reason=reason, actor=actor, now=now)


@click.command(epilog="\b\nExample:\n  changeover recover --reason 'bug 42 is fixed'")
@click.option("--reason", required=True, callback=no_secret, help="Why it is safe again.")
@site_command
def recover(session: Session, reason: str) -> None:
    """End an emergency rollback: back to baseline_only, so that a new cutover may begin.

    Flags stay as the rollback set them; the output names those.
    """
    done = by_hand.recover(session.site, Author(session.actor, reason))
    session.show(done.lines, done.data)


@click.command(epilog="\b\nExample:\n  changeover maintenance on --reason 'moving the database'")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option("--reason", required=True, callback=no_secret,
              help="Shown to users, and for the audit.")
@site_command
def maintenance(session: Session, switch: str, reason: str) -> None:
    """Answer users with 503 and the reason, or let them through again."""
    author = Author(session.actor, reason)
    done = by_hand.maintenance(session.site, author, is_on=switch == "on")
    session.show(done.lines, done.data)


@click.command("shadow", epilog="\b\nExamples:\n  changeover shadow 5%     copy a twentieth\n"
               "  changeover shadow 0      pause; the next stage begins with the plan's share")
@click.argument("sample")
@reason_option
@site_command
def shadow_command(session: Session, sample: str, reason: str) -> None:
    """Change the share of requests that are copied to the candidate for comparison."""
    plan = session.site.plan
    if plan.shadow is None:
        lines = "`shadow: {sample: 10%}`"
        raise InvalidInput(
            "the plan has no shadow", where=f"migration {plan.migration}",
            next_step=f"Add {lines} to the plan and run `changeover up` again")
    try:
        percent = parse_percent(sample)
    except ValueError as error:
        allowed = "0 to 100, as 5%"
        raise InvalidInput(
            str(error), where="SAMPLE", allowed=allowed) from error
    # a sample is counted in buckets, of which a percent has 100
    change = Change(shadow_sample=int(percent * 100))
    _apply(session, change, reason)


def _apply(session: Session, change: Change, reason: str, *, notes: Sequence[str] = ()) -> None:
    """Change the routing state as the present user, publish, and show it with the notes."""
    author = Author(session.actor, reason)
    done = by_hand.moved(session.site, change, author, notes=tuple(notes))
    session.show(done.lines, done.data)


def _refuse_in_cutover(site: Site, what: str) -> None:
    """Refuse to move users by hand while a cutover decides; a dead one is ended first."""
    running = cutovers.active(site.store, site.migration)
    if running is None:
        return
    subject = cutovers.subject(running.id)
    carrier = carriers.one(site.store, site.migration, subject)
    because = f"{what} because cutover {running.id}"
    if end := describe_end(site, carrier):
        raise Refused(
            f"{because} is not ended, and nobody carries it on. {end}")
    answer, stop = "`changeover approve`", "`changeover rollback`"
    raise Refused(
        f"{because} decides by its gates",
        next_step=f"Answer it with {answer}, or end it with {stop}")


def _advance_to(
    site: Site, state: RoutingState, percent: str | None, *, may_shadow: bool
) -> Change:
    """Return the change to the wanted percentage, or to the plan's next stage."""
    if percent is None:
        stage = _next_stage(site, state, may_shadow)
        return change_for(stage, site.plan, state.epoch)
    try:
        weight = int(parse_percent(percent) * 100)
    except ValueError as error:
        raise InvalidInput(str(error), where="--percent") from None
    mode = Mode.CANDIDATE_ONLY if weight == EVERYONE else Mode.GRADUAL
    # segments stay those that are moved when this is written, not when it was read
    return Change(mode=mode, weight=weight, expected_epoch=state.epoch)


def _next_stage(site: Site, state: RoutingState, may_shadow: bool) -> Stage:
    for stage in site.plan.stages():
        # the shadow stage moves nobody: it is a step only for those who may take it
        is_next = stage.weight > state.weight
        if stage.phase is PhaseKind.SHADOW:
            is_next = may_shadow
        if is_next:
            return stage
    raise Refused("not advanced because the candidate serves everyone already")
