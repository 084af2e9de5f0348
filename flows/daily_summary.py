"""Tell people once a day what changed, what waits for them, and how well everything is."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.errors import ChangeoverError
from tasks.flow_runs import open_site
from tasks.summary import send_summary


@flow(name="daily-summary", flow_run_name="daily summary")
async def daily_summary(migration: str | None = None) -> State:
    """Write the report of the last 24 hours and send its main lines, once a day.

    Run it as often as you like: people get one message a day (UTC), also when a run was killed.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        site = await open_site(migration)
        return Completed(message=await send_summary(site))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
