"""Commands that move users: enable, advance, disable, rollback, recover, maintenance, shadow."""

from __future__ import annotations

import secrets

import click

from changeover.cli import completing
from changeover.cli.breaking_glass import everyone_back
from changeover.cli.common import Session, anywhere_command, reason_option
from changeover.cli.saying import no_secret
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode
from changeover.errors import EXIT_OK, InvalidInput
from changeover.observer.carrying import describe_end
from changeover.plan.units import parse_percent
from changeover.procedures import by_hand, going_back, modes_by_hand

ENABLED = (Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL, Mode.CANDIDATE_ONLY)


@click.command(epilog="\b\nExamples:\n  changeover advance\n  changeover advance --percent 25\n"
               "  changeover advance --route orders --percent 50")
@click.option("--percent", help="Share of users; default: the plan's next stage.")
@click.option("--route", shell_complete=completing.routes,
              help="Only this route of the plan; default: all that has no place of its own.")
@reason_option
@anywhere_command
def advance(session: Session, percent: str | None, route: str | None, reason: str) -> None:
    """Move more users to the candidate by hand, without gates; refused while a cutover runs."""
    author = Author(session.actor, reason)
    done = modes_by_hand.advance(session.site, author, percent, describe_end, route=route)
    session.show(done.lines, done.data)


@click.command(epilog="\b\nExamples:\n  changeover enable shadow\n  changeover enable parallel\n"
               "  changeover enable gradual --percent 5\n"
               "  changeover enable              the plan's first stage that has users")
@click.argument("mode", type=click.Choice([str(mode) for mode in ENABLED]), default="gradual")
@click.option("--percent", help="Share of users in `gradual`; default: the plan's next stage.")
@reason_option
@anywhere_command
def enable(session: Session, mode: str, percent: str | None, reason: str) -> None:
    """Go to a mode by hand, without gates; refused while a cutover runs."""
    author = Author(session.actor, reason)
    done = modes_by_hand.enter(session.site, author, Mode(mode), percent, describe_end)
    session.show(done.lines, done.data)


@click.command(epilog="\b\nExample:\n  changeover disable --reason 'the pilot is over'")
@click.option("--reason", required=True, callback=no_secret, help="Why, for the audit.")
@anywhere_command
def disable(session: Session, reason: str) -> None:
    """Go back to baseline_only in good order; when something is wrong, use `rollback`."""
    done = modes_by_hand.leave(session.site, Author(session.actor, reason), describe_end)
    session.show(done.lines, done.data)


@click.command("rollback", epilog="""
\b
Examples:
  changeover rollback --reason "customers see wrong totals"
  changeover rollback --reason "slower than agreed" --gradual
  changeover rollback --reason "orders are missing" --scope route:orders
  changeover rollback --reason "database down" --break-glass
  changeover rollback --reason "down" --break-glass --migration shop --node https://edge-3:8102
\b
With --break-glass it asks all gateway nodes that this home knows, with the token in
$CHANGEOVER_BREAK_GLASS_TOKEN, or in the file $CHANGEOVER_BREAK_GLASS_TOKEN_FILE. Exit code 6:
some were not reached; all others were done.
""")
@click.option("--reason", required=True, callback=no_secret, help="What happened, for the audit.")
@click.option("--break-glass", is_flag=True,
              help="Without Prefect and without the store, at every gateway node.")
@click.option("--node", "nodes", multiple=True, metavar="URL",
              help="With --break-glass: one more gateway node; may be repeated. Where this home "
              "does not say whose node it is, give --migration.")
@click.option("--gradual", is_flag=True, help="In the steps of the plan's `rollback.return`.")
@click.option("--scope", shell_complete=completing.scopes,
              help="Only a part: `route:NAME`, `segment:NAME`, or `stage` for one stage back.")
@anywhere_command
def rollback_command(
    session: Session, reason: str, break_glass: bool, gradual: bool, scope: str | None,
    nodes: tuple[str, ...],
) -> int:
    """Send everyone back to the baseline, now; the rest of the SOP follows by itself."""
    if nodes and not break_glass:
        raise InvalidInput("--node works with --break-glass only: otherwise nodes follow the store",
                           allowed="--break-glass --node URL")
    if scope is not None and (gradual or break_glass):
        raise InvalidInput(
            "--scope does not work with --gradual and --break-glass, which are for everyone",
            allowed="one of them")
    if gradual and break_glass:
        raise InvalidInput(
            "--gradual does not work with --break-glass, which is at once",
            allowed="one of them")
    cause = Cause(session.actor, reason)
    if scope is not None:
        # each call is an occasion of its own; the record of it says who and why
        done = going_back.by_scope(session.site, scope, cause, f"command-{secrets.token_hex(8)}")
        session.show(done.lines, done.data)
        return EXIT_OK
    if gradual:
        done = going_back.in_steps(session.site, cause)
        session.show(done.lines, done.data)
        return EXIT_OK
    if break_glass:
        return everyone_back(session, reason, nodes)
    done = going_back.at_once(session.site, cause)
    session.show(done.lines, done.data)
    return EXIT_OK


@click.command(epilog="\b\nExample:\n  changeover recover --reason 'bug 42 is fixed'")
@click.option("--reason", required=True, callback=no_secret, help="Why it is safe again.")
@anywhere_command
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
@anywhere_command
def maintenance(session: Session, switch: str, reason: str) -> None:
    """Answer users with 503 and the reason, or let them through again."""
    author = Author(session.actor, reason)
    done = by_hand.maintenance(session.site, author, is_on=switch == "on")
    session.show(done.lines, done.data)


@click.command("shadow", epilog="\b\nExamples:\n  changeover shadow 5%     copy a twentieth\n"
               "  changeover shadow 0      pause; the next stage begins with the plan's share")
@click.argument("sample")
@reason_option
@anywhere_command
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


def _apply(session: Session, change: Change, reason: str) -> None:
    """Change the routing state as the present user, publish, and show it."""
    done = by_hand.moved(session.site, change, Author(session.actor, reason))
    session.show(done.lines, done.data)
