"""Commands about work whose flow run ended in Prefect before it was done: continue, end."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from changeover import clock
from changeover.cli.common import home_option, output_option, show
from changeover.domain import run_ends
from changeover.domain.run_ends import Carrier
from changeover.errors import Unreachable
from changeover.observer import continuing
from changeover.observer.carrying import Ended, ended_now
from changeover.site.site import Site
from changeover.store import routing


@click.command("continue", epilog="\b\nExample:\n  changeover continue")
@home_option
@output_option
def continue_command(home: Path | None, migration: str | None, output: str) -> None:
    """Take up again what no flow run carries on: a cutover, a rollback, a retirement.

    A new run goes on where the cancelled or deleted one was. Who approved stays approved, who was
    moved stays moved, and the former run may do nothing more. Refused while a run goes on.
    """
    found = Site.open(home, migration)
    now, api = clock.now(), found.prefect
    lines, data = [], []
    for carrier, _ in continuing.find_ended(found.store, api, found.migration, now=now):
        run_id = continuing.continue_work(found.store, api, carrier, now=now)
        lines.append(f"flow run {run_id} carries {carrier.subject} on")
        data.append({"subject": carrier.subject, "flow_run_id": run_id})
    show(output, "\n".join(lines), data)


@click.command("end", epilog="\b\nExample:\n  changeover end --reason 'we go on by hand'")
@click.option("--reason", required=True, help="Why; kept in the audit.")
@home_option
@output_option
def end_command(reason: str, home: Path | None, migration: str | None, output: str) -> None:
    """End what no flow run carries on, where it is; users stay where they are.

    Afterwards `advance`, `disable`, `rollback` and a new cutover work. Refused while a run goes on:
    cancel that in Prefect first.
    """
    found = Site.open(home, migration)
    now = clock.now()
    lines, data = [], []
    for carrier, ended in continuing.find_ended(
            found.store, found.prefect, found.migration, now=now):
        lines.append(continuing.end_work(
            found.store, carrier, ended, actor=getpass.getuser(), reason=reason, now=now))
        data.append({"subject": carrier.subject, "end": str(ended.end)})
    show(output, "\n".join(lines), data)


def told_end(found: Site, carrier: Carrier | None) -> str:
    """Return what people are told when a run has ended before its work; empty while it goes on.

    Prefect is asked; when it does not answer, what the observer noted last counts.
    """
    if carrier is None:
        return ""
    ended = Ended(carrier.end, carrier.since, carrier.said) if carrier.end else None
    try:
        ended = ended_now(found.store, found.prefect, carrier, now=clock.now())
    except Unreachable:
        if ended is None:
            return ""
    if ended is None:
        return ""
    where = routing.read(found.store, carrier.migration).describe()
    return run_ends.sentence(
        carrier.subject, ended.end, said=ended.said, since=ended.since, where=where)
