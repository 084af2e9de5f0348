"""Commands that only look: status, history, env; and the store's upgrade."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from changeover import clock
from changeover.cli.common import home_option, output_option, show
from changeover.errors import EXIT_FAILED
from changeover.site import status as status_of
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.site import Site
from changeover.store import audit
from changeover.store.engine import Store


@click.command("status", epilog="\b\nExample:\n  changeover status --output json")
@home_option
@output_option
def status_command(home: Path | None, migration: str | None, output: str) -> None:
    """Show where the migration stands."""
    found = Site.open(home, migration)
    data = status_of.collect(found, now=clock.now())
    show(output, status_of.as_text(data), data)


@click.command(epilog="\b\nExamples:\n  changeover history\n  changeover history --verify")
@home_option
@output_option
@click.option("--limit", default=50, show_default=True, help="Newest events to show.")
@click.option("--verify", is_flag=True, help="Check the hash chain; exit code 1 when broken.")
def history(
    home: Path | None, migration: str | None, output: str, limit: int, verify: bool
) -> int:
    """Show what was decided and changed, by whom and why."""
    found = Site.open(home, migration)
    name = found.migration
    events = audit.events(found.store, name)
    if verify:
        problems = audit.verify(found.store, name)
        text = "\n".join(problems) or f"intact: {len(events)} events"
        show(output, text, {"events": len(events), "problems": problems})
        return EXIT_FAILED if problems else 0
    shown = events[-limit:] if limit > 0 else events
    lines = [
        f"{event.seq:>5} {event.at:%Y-%m-%d %H:%M:%S} {event.kind:<18} {event.actor}: "
        + ", ".join(f"{key}={value}" for key, value in event.data.items())
        for event in shown
    ]
    data = [
        {"seq": event.seq, "at": event.at.isoformat(), "actor": event.actor, "kind": event.kind,
         "data": event.data, "hash": event.hash}
        for event in shown
    ]
    show(output, "\n".join(lines) or "nothing happened yet", data)
    return 0


@click.command(epilog='\b\nExample:\n  eval "$(changeover env)"')
@home_option
def env(home: Path | None, migration: str | None) -> None:
    """Print the variables that `prefect` and `changeover` need in a shell."""
    found = Home.resolve(home)
    settings = found.require_settings()
    for name, value in (
        ("PREFECT_API_URL", settings["api_url"]),
        ("PREFECT_HOME", str(found.prefect_home)),
        (HOME_VARIABLE, str(found.root)),
    ):
        click.echo(f"export {name}={shlex.quote(value)}")


@click.group("store")
def store_group() -> None:
    """Look after the database."""


@store_group.command(epilog="\b\nExample:\n  changeover store upgrade --home .changeover")
@click.option("--home", type=click.Path(file_okay=False, path_type=Path),
              envvar="CHANGEOVER_HOME", help="Home directory; default .changeover.")
def upgrade(home: Path | None) -> None:
    """Bring the store's tables to this program's version."""
    found = Home.resolve(home)
    store = Store.open(found.store_url, create=True)
    click.echo(f"{store.url} is up to date")
    store.close()
