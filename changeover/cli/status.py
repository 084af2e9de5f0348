"""Commands that only read: status, history, env."""

from __future__ import annotations

import shlex
from typing import Any

import click

from changeover import clock
from changeover.cli.bars import spinner
from changeover.cli.common import Session, anywhere_command, home_option, pass_session
from changeover.cli.printable import printable
from changeover.domain.audit import AuditEvent
from changeover.errors import EXIT_FAILED
from changeover.site import every_migration
from changeover.site import status as status_of
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.site import Site
from changeover.store import audit, plans

GROUP, ALL = "group", "all"


@click.command("status", epilog="\b\nExamples:\n  changeover status\n"
               "  changeover status --output json\n"
               "  changeover status --watch              refreshed every 2 s until Ctrl-C\n"
               "  changeover status --watch --every 30s > log\n"
               "  changeover status --group              all members of the migration's group\n"
               "  changeover status --all                all migrations of the database\n"
               "\b\n--watch ends with Ctrl-C and exit code 0. With --output json it prints one\n"
               "document a line.")
@anywhere_command
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C, in place on a terminal.")
@click.option("--every", default="2", show_default=True, metavar="TIME",
              help="With --watch: seconds between two refreshes, or a duration as 1m.")
@click.option("--group", "scope", flag_value=GROUP,
              help="The whole group that the migration belongs to.")
@click.option("--all", "scope", flag_value=ALL, help="All migrations of the database.")
def status_command(session: Session, watch: bool, every: str, scope: str | None) -> int:
    """Show where the migration stands."""
    if not watch:
        text, data = _status(session.site, scope)
        session.show(text, data)
        return 0
    # who looks once need not import what refreshes
    from changeover.cli.refreshing import Refreshing, View, seconds_of

    seconds = seconds_of(every, "--every")

    def look() -> View:
        return View(*_status(fresh(session.site), scope))

    return Refreshing(look, seconds, is_json=session.output == "json").run()


def _status(site: Site, scope: str | None) -> tuple[str, dict[str, Any]]:
    """Return the status for people and for programs."""
    now = clock.now()
    if scope == ALL:
        every = every_migration.collect(site.store, now=now)
        return printable(every_migration.as_text(every)), {"migrations": every}
    if scope == GROUP:
        # only a group's status needs its members' plans
        from changeover.site import group_screen

        found = group_screen.collect(site, now=now)
        return printable(group_screen.as_text(found)), found
    data = status_of.collect(site, now=now)
    return printable(status_of.as_text(data)), data


def fresh(site: Site) -> Site:
    """Return the site with the plan that is in force now: somebody may have amended it."""
    plan = plans.load(site.store, site.migration)
    return Site(site.home, plan, site.store, site.gateway)


@click.command(epilog="\b\nExamples:\n  changeover history\n  changeover history --verify")
@anywhere_command
@click.option("--limit", default=50, show_default=True, help="Newest events to show.")
@click.option("--verify", is_flag=True, help="Check the hash chain; exit code 1 when broken.")
def history(session: Session, limit: int, verify: bool) -> int:
    """Show what was decided and changed, by whom and why."""
    store, name = session.site.store, session.site.migration
    events = audit.events(store, name)
    if verify:
        with spinner("checking the chain", is_hidden=session.output == "json"):
            problems = audit.verify(store, name)
        text = "\n".join(problems) or f"intact: {len(events)} events"
        session.show(text, {"events": len(events), "problems": problems})
        return EXIT_FAILED if problems else 0
    # `events[-0:]` would be all of them, and so is what 0 means here
    shown = events[-limit:] if limit > 0 else events
    lines = [_line(event) for event in shown]
    data = [_as_data(event) for event in shown]
    text = printable("\n".join(lines))
    session.show(text or "nothing happened yet", data)
    return 0


def _line(event: AuditEvent) -> str:
    details = [f"{key}={value}" for key, value in event.data.items()]
    when = f"{event.seq:>5} {event.at:%Y-%m-%d %H:%M:%S}"
    what = f"{event.kind:<18} {event.actor}"
    return f"{when} {what}: {', '.join(details)}"


def _as_data(event: AuditEvent) -> dict[str, Any]:
    return {
        "seq": event.seq, "at": event.at.isoformat(),
        "actor": event.actor, "kind": event.kind,
        "data": event.data, "hash": event.hash,
    }


@click.command(epilog='\b\nExample:\n  eval "$(changeover env)"')
@home_option
@pass_session
def env(session: Session) -> None:
    """Print the variables that `prefect` and `changeover` need in a shell."""
    home = Home.resolve(session.home)
    variables = {
        "PREFECT_API_URL": home.require_settings()["api_url"],
        "PREFECT_HOME": str(home.prefect_home),
        HOME_VARIABLE: str(home.root),
    }
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
