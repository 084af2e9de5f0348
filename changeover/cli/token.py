"""Commands about the console's tokens: token create, list, revoke."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from changeover import clock
from changeover.cli import completing
from changeover.cli.common import Session, site_command
from changeover.domain.tokens import Scope, Token
from changeover.errors import InvalidInput
from changeover.plan.units import parse_duration
from changeover.site.site import Site
from changeover.store import tokens


@click.group()
def token() -> None:
    """Tokens with which applications write to the console."""


@token.command(epilog="\b\nExamples:\n  changeover token create worker --scope write\n"
               "  changeover token create grafana --scope read --expires 90d\n"
               "  changeover token create wall --scope read --link")
@click.argument("name")
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), default="write",
              show_default=True, help="What it may do; each includes the ones before it.")
@click.option("--expires", help="How long it is valid, as 90d; default: until it is revoked.")
@click.option("--link", is_flag=True, help="As a link for a screen on a wall; with `read` only.")
@site_command
def create(
    session: Session, name: str, scope: str, expires: str | None, link: bool
) -> None:
    """Make a token for the migration's console and show it, this once: only its hash is saved."""
    if not 1 <= len(name) <= 63 or not name.isprintable():
        raise InvalidInput(
            f"{name!r} is not a name",
            where="NAME", allowed="1 to 63 characters")
    site, now = session.site, clock.now()
    address = _address(site) if link else ""
    # browsers and proxies keep addresses: nothing that may write belongs into one
    if link and scope != Scope.READ:
        raise InvalidInput(
            f"a link with a token that may {scope} would be read by others",
            where="--link", allowed="--scope read")
    longest = lifetime(expires)
    wanted = Token(
        site.migration, name, Scope(scope),
        created_at=now, created_by=session.actor,
        expires_at=now + longest if longest else None)
    made, text = tokens.create(site.store, wanted)
    # on standard error, so that the token alone can go into a file or a variable
    click.echo("save it now: it is not shown again", err=True)
    data: dict[str, Any] = {"id": made.id, "name": name, "scope": scope}
    data |= {"token": text, "expires_at": made.expires_at}
    if link:
        text = f"{address}/wall?token={text}"
        data["link"] = text
    session.show(text, data)


def _address(site: Site) -> str:
    """Return what browsers call the console.

    Raises:
        InvalidInput: Nobody has said it, and none was started.
    """
    started = str(site.home.settings().get("console_url") or "")
    found = site.plan.console.public or started.rstrip("/")
    if not found:
        raise InvalidInput(
            "nobody knows the console's address", where="--link",
            next_step="Write `console: {address: https://...}` in the plan, or run `changeover up`")
    return found


@token.command("list", epilog="\b\nExample:\n  changeover token list")
@site_command
def list_tokens(session: Session) -> None:
    """Show the migration's tokens, without their secrets, and when each was last used."""
    now = clock.now()
    site = session.site
    known = tokens.every(site.store, site.migration)
    lines = [_line(each, now) for each in known]
    data = []
    for each in known:
        data.append(asdict(each) | {"state": each.state(now)})
    session.show("\n".join(lines) or "there are no tokens", data)


def _line(each: Token, now: datetime) -> str:
    made = f"made {each.created_at:%Y-%m-%d} by {each.created_by}"
    head = f"{each.id} {each.state(now):<8} {each.scope:<6} {each.name}"
    used = "never used"
    if each.last_used_at:
        used = f"last used {each.last_used_at:%Y-%m-%d %H:%M}"
    parts = [f"{head}: {made}", used]
    if each.expires_at:
        parts.append(f"until {each.expires_at:%Y-%m-%d}")
    return ", ".join(parts)


@token.command(epilog="\b\nExample:\n  changeover token revoke 3f9a51c0d2e4")
@click.argument("token_id", shell_complete=completing.token_ids)
@site_command
def revoke(session: Session, token_id: str) -> None:
    """Make a token invalid, within two seconds everywhere and for ever."""
    site = session.site
    gone = tokens.revoke(
        site.store, site.migration, token_id,
        actor=session.actor, now=clock.now())
    text = f"token {gone.id} ({gone.name}) is revoked"
    data = {
        "id": gone.id, "name": gone.name,
        "revoked_at": gone.revoked_at,
    }
    session.show(text, data)


def lifetime(text: str | None) -> timedelta | None:
    """Return how long a token is to be valid; None for ever.

    Raises:
        InvalidInput: It is no duration.
    """
    if text is None:
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(
            str(error), where="--expires", allowed="as 12h or 90d") from None
    if found <= timedelta(0):
        what = "a token that is over at once is of no use"
        raise InvalidInput(what, where="--expires")
    return found
