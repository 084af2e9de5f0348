"""Weeks after the cutover: retire the baseline, with approval."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from changeover.errors import CarriedElsewhere, ChangeoverError
from tasks.deprecating import (
    ask_to_retire,
    begin_retirement,
    check_unused,
    end_retirement,
    pull_levers,
    retirement_due,
)
from tasks.runtime import open_runtime
from tasks.steps import PASSING_TROUBLE, come_back, try_again_later


@flow(name="deprecation", flow_run_name="deprecation of the baseline", persist_result=True)
async def deprecation(migration: str | None = None) -> State:
    """Wait for the plan's time since promotion, see that nobody calls it, ask, and remove it.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        runtime = await open_runtime(migration)
        due = retirement_due(runtime.migration)
        work = begin_retirement(runtime.migration)
        message = f"the baseline stands by until {due:%F %T} UTC"
        await come_back(due, name="Waiting", message=message)
        check_unused(runtime.migration)
        decision = await ask_to_retire(runtime.migration)
        retired = pull_levers(runtime.migration) if decision == "promote" else ""
        end_retirement(runtime.migration, work)
        if not retired:
            return Completed(name="Kept", message=f"the baseline stays: {decision} was decided")
        return Completed(name="Retired", message=retired)
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
