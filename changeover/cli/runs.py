"""Commands about work whose flow run ended in Prefect before it was done: continue, end."""

from __future__ import annotations

import click

from changeover import clock
from changeover.cli.common import Session, anywhere_command
from changeover.cli.saying import no_secret
from changeover.domain.audit import Author
from changeover.observer import continuing


@click.command("continue", epilog="\b\nExample:\n  changeover continue")
@anywhere_command
def continue_command(session: Session) -> None:
    """Continue work whose flow run has ended: a cutover, a rollback, a retirement.

    A new run goes on where the cancelled or deleted one was. Approvals that were given still
    count, users who were moved stay moved, and the former run may do nothing more. Refused while
    a run goes on.
    """
    # one after the other: a rollback and a retirement may both have lost their runs
    site, now = session.site, clock.now()
    lines, data = [], []
    for carrier, _ in continuing.find_ended(site, now=now):
        run_id = continuing.continue_work(site, carrier, now=now)
        lines.append(f"flow run {run_id} continues {carrier.subject}")
        data.append({"subject": carrier.subject, "flow_run_id": run_id})
    session.show("\n".join(lines), data)


@click.command("end", epilog="\b\nExample:\n  changeover end --reason 'we go on by hand'")
@click.option("--reason", required=True, callback=no_secret, help="Why, for the audit.")
@anywhere_command
def end_command(session: Session, reason: str) -> None:
    """End work whose flow run has ended, as it stands; users stay where they are.

    Afterwards `advance`, `disable`, `rollback` and a new cutover work. Refused while a run goes on:
    cancel that in Prefect first.
    """
    site, now = session.site, clock.now()
    lines, data = [], []
    author = Author(session.actor, reason)
    for carrier, ended in continuing.find_ended(site, now=now):
        line = continuing.end_work(
            site.store, carrier, ended, author, now=now)
        lines.append(line)
        data.append({"subject": carrier.subject, "end": str(ended.end)})
    session.show("\n".join(lines), data)
