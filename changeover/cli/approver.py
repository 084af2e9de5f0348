"""Commands about people who approve: their tokens, and codes for Prefect's form."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

import click

from changeover import clock
from changeover.cli.common import Session, site_command
from changeover.cli.proving import VARIABLE, token_of
from changeover.cli.token import lifetime
from changeover.domain.approvers import STARTING, all_rules
from changeover.domain.rollout import ANSWERS, Answer, StageAction
from changeover.domain.tokens import ApproverToken
from changeover.errors import ApprovalRefused, InvalidInput
from changeover.plan.people import person
from changeover.procedures import proving
from changeover.store import approvals, approver_tokens

_expires = click.option("--expires", help="How long it is valid, as 90d; default: until removed.")
LONGEST_NAME = 100
FOR_EVER = "never"


@click.group()
def approver() -> None:
    """People who approve: their tokens, and codes for Prefect's form."""


@approver.command(epilog="\b\nExample:\n  changeover approver add alice@example.com --expires 90d")
@click.argument("name")
@_expires
@site_command
def add(session: Session, name: str, expires: str | None) -> None:
    """Make a person's token and show it, this once: only a salted hash is saved."""
    _make(session, name, lifetime(expires), is_new=True)


@approver.command(epilog="\b\nExamples:\n  changeover approver rotate alice@example.com\n"
                  "  changeover approver rotate alice@example.com --expires 30d")
@click.argument("name")
@click.option("--expires", help="How long it is valid, as 90d, or `never`; default: as long from "
              "now on as the one that it replaces was.")
@site_command
def rotate(session: Session, name: str, expires: str | None) -> None:
    """Make another token for a person; those that they had are worth nothing any more."""
    if expires is None:
        longest = _lifetime_before(session, name)
    else:
        longest = None if expires == FOR_EVER else lifetime(expires)
    _make(session, name, longest, is_new=False)


def _lifetime_before(session: Session, name: str) -> timedelta | None:
    """Return how long a person's newest token was made to be valid; None without an end."""
    site = session.site
    known = [each for each in approver_tokens.every(site.store, site.migration)
             if person(each.name) == person(name)]
    if not known or known[-1].expires_at is None:
        return None
    return known[-1].expires_at - known[-1].created_at


@approver.command("list", epilog="\b\nExample:\n  changeover approver list")
@site_command
def list_approvers(session: Session) -> None:
    """Show who has a token, without its secret, and whether the plan lists them."""
    now, site = clock.now(), session.site
    known = approver_tokens.every(site.store, site.migration)
    data, lines = [], []
    for each in known:
        is_listed = _is_listed(session, each.name)
        row = asdict(each)
        row |= {"state": each.state(now), "is_listed": is_listed}
        data.append(row)
        lines.append(_line(each, now, is_listed))
    session.show("\n".join(lines) or "nobody has a token", data)


@approver.command(epilog="\b\nExample:\n  changeover approver remove alice@example.com")
@click.argument("name")
@site_command
def remove(session: Session, name: str) -> None:
    """Make a person's tokens invalid, at once and for ever; answers that they gave stay."""
    site = session.site
    gone = approver_tokens.remove(
        site.store, site.migration, name,
        actor=session.actor, now=clock.now())
    text = f"{name} had no valid token"
    if gone:
        text = f"{len(gone)} token of {name} is revoked"
    session.show(text, {"name": name, "revoked": gone})


@approver.command(epilog="\b\nExamples:\n  changeover approver code promote --approver alice\n"
                  "  changeover approver code start --approver bob")
@click.argument("decision", type=click.Choice([*map(str, ANSWERS), STARTING]))
@click.option("--approver", "name", required=True, help="Your name.")
@site_command
def code(session: Session, decision: str, name: str) -> None:
    """Show a code for Prefect's form: for one decision about what is asked now, once.

    `start` makes one for the parameters of a cutover or a retirement that you start.
    """
    site = session.site
    token_of(session, name)
    if decision == STARTING:
        _show_code(session, proving.code_to_start(site, name))
        return
    where = site.migration
    asked = approvals.open_for(site.store, where)
    if asked is None:
        raise ApprovalRefused(
            "nothing waits for an approval now",
            where=where, next_step="See `changeover status`")
    given = Answer(StageAction(decision), name, source="cli")
    made = proving.code_for_form(site, asked, given, source="cli")
    # a stage whose approvers need not show who they are
    if not made:
        raise ApprovalRefused(
            f"the form about {asked.stage} asks for no code",
            where=where, next_step="Type your name")
    _show_code(session, made)


def _show_code(session: Session, made: str) -> None:
    # on standard error, so that the code alone can be copied or piped
    click.echo("valid once, for 10 minutes", err=True)
    session.show(made, {"code": made})


def _make(session: Session, name: str, longest: timedelta | None, *, is_new: bool) -> None:
    is_short = 2 <= len(name) <= LONGEST_NAME
    is_clean = name.isprintable() and name == name.strip()
    if not is_short or not is_clean:
        raise InvalidInput(
            f"{name!r} is not a name", where="NAME",
            allowed="2 to 100 characters without blanks around them")
    site, now = session.site, clock.now()
    wanted = ApproverToken(
        site.migration, name, created_at=now, created_by=session.actor,
        expires_at=now + longest if longest else None)
    made, text = approver_tokens.add(site.store, wanted, is_new=is_new)
    # on standard error, so that the token alone can go into a file
    how = f"the commands read it from {VARIABLE}, or ask"
    click.echo(f"save it now: it is not shown again; {how}", err=True)
    # no error: the plan may be amended later
    if not _is_listed(session, name):
        note = f"the plan does not list {name} as an approver"
        click.echo(f"note: {note}", err=True)
    session.show(text, {
        "id": made.id, "name": name, "token": text,
        "expires_at": made.expires_at,
    })


def _is_listed(session: Session, name: str) -> bool:
    known = all_rules(session.site.plan)
    return any(rules.allows(name) for rules in known)


def _line(each: ApproverToken, now: datetime, is_listed: bool) -> str:
    made = f"made {each.created_at:%Y-%m-%d} by {each.created_by}"
    head = f"{each.id} {each.state(now):<8} {each.name}"
    parts = [f"{head}: {made}"]
    if each.expires_at:
        parts.append(f"until {each.expires_at:%Y-%m-%d}")
    if not is_listed:
        parts.append("not listed in the plan")
    return ", ".join(parts)
