"""Render the report of the newest cutover."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.errors import ChangeoverError
from changeover.store import cutovers
from tasks.flow_runs import open_site
from tasks.report import publish_report


@flow(name="report", flow_run_name="report")
async def report(migration: str | None = None) -> State:
    """Render what has happened so far as HTML, Markdown and JSON.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        site = await open_site(migration)
        newest = cutovers.latest(site.store, site.migration)
        path = await publish_report(site, newest.id if newest else None)
        return Completed(message=f"the report is {path}")
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
