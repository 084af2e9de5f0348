"""Switch the maintenance answer on or off."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.errors import ChangeoverError
from flows.fields import Reason
from tasks.flow_runs import open_site
from tasks.traffic import set_maintenance


@flow(name="maintenance", flow_run_name="maintenance on={on}")
async def maintenance(on: bool, reason: Reason, migration: str | None = None) -> State:
    """Answer every user with 503 and the reason, or let them through again.

    Args:
        on: True answers with maintenance, false serves users again.
        reason: Shown to users and kept in the audit.
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        site = await open_site(migration)
        return Completed(message=set_maintenance(site, on, reason))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
