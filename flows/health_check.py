"""Check everything that a migration depends on, on a schedule."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.checks.health.repair import GOOD
from changeover.errors import ChangeoverError
from tasks.flow_runs import open_site
from tasks.health import check_health, worst_status


@flow(name="health-check", flow_run_name="health check")
async def health_check(migration: str | None = None) -> State:
    """Check everything that the migration stands on, and repair what the plan says how to.

    The worst status wins. Each repair has a budget, and counts only when its check is good after.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        site = await open_site(migration)
    # without a site there is nothing to close below
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
    try:
        results = check_health(site)
        await acreate_table_artifact(
            table=[row.as_cells() for row in results],
            key=f"{site.migration.replace('_', '-')}-health",
            description=f"Health of everything that {site.migration} stands on, worst first; what "
            "to do is in docs/runbooks/health.md",
        )
        status = worst_status(results)
        worst = results[0].detail
        if status in GOOD:
            return Completed(name=status.title(), message=worst)
        return Failed(name=status.title(), message=worst)
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
    finally:
        site.store.close()  # the worker's process lives on, and makes the next check, too
