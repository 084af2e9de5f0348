"""Commands about the console's tokens: token create, list, revoke."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from changeover import clock
from changeover.cli.common import home_option, output_option, show
from changeover.domain.tokens import Scope
from changeover.errors import InvalidInput
from changeover.plan.units import parse_duration
from changeover.site.site import Site
from changeover.store import tokens


@click.group()
def token() -> None:
    """Tokens with which applications write to the console."""


@token.command(epilog="\b\nExamples:\n  changeover token create worker --scope write\n"
               "  changeover token create grafana --scope read --expires 90d")
@click.argument("name")
@click.option("--scope", type=click.Choice([str(scope) for scope in Scope]), default="write",
              show_default=True, help="What it may do; each includes the ones before it.")
@click.option("--expires", help="How long it is valid, as 90d; default: until it is revoked.")
@home_option
@output_option
def create(
    name: str, scope: str, expires: str | None, home: Path | None, migration: str | None,
    output: str,
) -> None:
    """Make a token for the migration's console and show it, this once: only its hash is kept."""
    if not 1 <= len(name) <= 63 or not name.isprintable():
        raise InvalidInput(f"{name!r} is not a name", where="NAME", allowed="1 to 63 characters")
    found = Site.open(home, migration)
    made, text = tokens.create(
        found.store, found.migration, name=name, scope=Scope(scope),
        lifetime=_lifetime(expires), actor=getpass.getuser(), now=clock.now())
    click.echo("keep it now: it is not shown again", err=True)
    show(output, text, {"id": made.id, "name": name, "scope": scope, "token": text,
                        "expires_at": made.expires_at})


@token.command("list", epilog="\b\nExample:\n  changeover token list")
@home_option
@output_option
def list_tokens(home: Path | None, migration: str | None, output: str) -> None:
    """Show the migration's tokens, without their secrets, and when each was last used."""
    found = Site.open(home, migration)
    now, known = clock.now(), tokens.every(found.store, found.migration)
    lines = [
        f"{each.id} {each.state(now):<8} {each.scope:<6} {each.name}: made "
        f"{each.created_at:%Y-%m-%d} by {each.created_by}, "
        + (f"last used {each.last_used_at:%Y-%m-%d %H:%M}" if each.last_used_at else "never used")
        + (f", until {each.expires_at:%Y-%m-%d}" if each.expires_at else "")
        for each in known
    ]
    show(output, "\n".join(lines) or "there are no tokens",
         [{**asdict(each), "state": each.state(now)} for each in known])


@token.command(epilog="\b\nExample:\n  changeover token revoke 3f9a51c0d2e4")
@click.argument("token_id")
@home_option
@output_option
def revoke(token_id: str, home: Path | None, migration: str | None, output: str) -> None:
    """Make a token invalid, within two seconds everywhere and for ever."""
    found = Site.open(home, migration)
    gone = tokens.revoke(
        found.store, found.migration, token_id, actor=getpass.getuser(), now=clock.now())
    show(output, f"token {gone.id} ({gone.name}) is revoked",
         {"id": gone.id, "name": gone.name, "revoked_at": gone.revoked_at})


def _lifetime(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        lifetime = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(str(error), where="--expires", allowed="as 12h or 90d") from None
    if lifetime <= timedelta(0):
        raise InvalidInput("a token that is over at once is of no use", where="--expires")
    return lifetime
