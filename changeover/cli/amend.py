"""The command that changes the plan of a running cutover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from changeover.cli.common import FILE, Session, site_command
from changeover.cli.saying import approver_option, why_option
from changeover.domain.audit import Author
from changeover.errors import InvalidInput, Refused
from changeover.plan.load import load_plan

if TYPE_CHECKING:
    from changeover.procedures.amending import Amendment


@click.command(epilog="""
\b
Examples:
  changeover plan amend plans/own.yaml --approver alice --reason 'the bound was too tight'
  changeover plan amend plans/own.yaml --approver bob --reason 'as Alice says' --yes
""")
@click.argument("file", type=FILE)
@approver_option
@why_option
@click.option("--yes", is_flag=True, help="Do not ask whether the changes are wanted.")
@site_command
def amend(
    session: Session, *, file: Path, approver: str, reason: str, yes: bool
) -> None:
    """Let a running cutover go on with a changed plan, once its stage's approvers agree.

    Later stages, gates and bounds, comparison rules, triggers, messages and approvals can be
    changed. Systems, keys, and what users who were moved would notice cannot. Users who were moved
    stay moved. Each approver runs the command; verdicts say which plan they were made with.
    """
    from changeover.cli.proving import token_if_needed  # `plan check` needs no store
    from changeover.procedures import amending, members

    site = session.site
    # paths in a plan are relative to its folder: elsewhere they would name other files
    if file.absolute().parent != site.folder:
        why = "since the plan's paths are relative to it"
        raise InvalidInput(
            f"{file} lies in another folder than the plan that runs",
            where="FILE", allowed=f"a file in {site.folder}, {why}")
    environment, is_json = site.plan.environment, session.output == "json"
    proposed = amending.propose(site, load_plan(file, environment))
    members.refuse_beside_registered(site.store, proposed.plan, file, environment)
    for line in proposed.changes:
        # JSON goes to standard output alone: a program reads it
        click.echo(f"  {line}", err=is_json)
    asked = f"Let cutover {proposed.cutover.id} go on with this?"
    if not yes and not click.confirm(asked):
        raise Refused("nothing was changed because you did not want it")
    token = token_if_needed(session, approver, proposed.rules)
    found = amending.agree(
        site, proposed, Author(approver, reason),
        source=str(file.absolute()), token=token)
    session.show(_said(found), {
        "is_in_force": found.is_in_force, "agreed": found.agreed,
        "needed": found.needed, "changes": found.changes,
    })


def _said(found: Amendment) -> str:
    people = ", ".join(found.agreed)
    if not found.is_in_force:
        count = f"{len(found.agreed)} of {found.needed} people agreed"
        return f"not amended yet: {count} ({people})"
    whose = f"cutover {found.cutover.id} goes on"
    return f"{whose} with the amended plan ({people}); " \
        "services are started again within seconds"
