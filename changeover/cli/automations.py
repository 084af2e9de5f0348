"""Automations of Prefect for a migration, as a file or applied at once."""

from __future__ import annotations

import click

from changeover.cli.common import Session, site_command
from changeover.errors import InvalidInput
from changeover.site import automations
from changeover.site.prefect_api import TRIGGERS_VARIABLE


@click.command("automations", epilog="\b\nExamples:\n"
               "  changeover automations --notify slack-webhook/team > automations.yaml\n"
               "  prefect automation create --from-file automations.yaml\n"
               "  changeover automations --roll-back-on acme.alert --apply")
@click.option("--notify", "block", default="", metavar="TYPE/NAME",
              help="Notification block that is told when somebody is waited for, and of rollbacks.")
@click.option("--roll-back-on", "event", default="", metavar="EVENT",
              help="Event that rolls back, with the resource changeover.migration.NAME.")
@click.option("--apply", "is_applied", is_flag=True,
              help="Create them in Prefect, or replace those of the same name.")
@site_command
def automations_command(session: Session, block: str, event: str, is_applied: bool) -> None:
    """Show or apply automations of Prefect: notify people, roll back on an event.

    Shown as YAML for `prefect automation create --from-file FILE`, which creates them once more
    each time it is called. `--apply` does not. They act only while `changeover up` was started
    with PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED=true.
    """
    if not (block or event):
        raise InvalidInput(
            "there is nothing to automate", allowed="--notify TYPE/NAME, --roll-back-on EVENT")
    site = session.site
    ids = automations.ids_of(site.prefect, block)
    made = automations.automations(site.migration, ids, event)
    if not site.prefect.acts_on_events():
        # beside the file, not in it
        click.echo(
            f"note: automations are off in this Prefect server, so none of them acts: start "
            f"`changeover up` with {TRIGGERS_VARIABLE}=true", err=True)
    if not is_applied:
        import yaml

        text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=100)
        session.show(text.rstrip(), made)
        return
    done = automations.apply(site.prefect, made)
    session.show("\n".join(done), done)
