"""What a flow opens once and hands to its steps, and which flow run it is."""

from __future__ import annotations

import os
from uuid import UUID

from prefect.context import FlowRunContext

from blocks.plan import PlanBlock, block_name
from changeover import telemetry
from changeover.errors import InvalidInput
from changeover.gateway.publish import PATIENT_SECONDS
from changeover.procedures.steps import CutoverRun
from changeover.site import flow_sign
from changeover.site.elsewhere import site_of
from changeover.site.site import Site
from changeover.store import cutovers, plans


async def open_site(migration: str | None) -> Site:
    """Connect to a migration and note this process as the one that carries the flow run.

    Args:
        migration: Name of the migration; None takes the one that `changeover up` started last.

    Raises:
        InvalidInput: No such migration was registered with this Prefect server.
        StoreError: The store cannot be used.
    """
    telemetry.start("flow")
    name = block_name(migration) if migration else "current"
    try:
        block: PlanBlock = await PlanBlock.aload(name)
    except ValueError as error:
        raise InvalidInput(
            f"no migration {migration or 'at all'} is registered with this Prefect server",
            next_step="Run `changeover up --plan FILE` first, or `changeover deploy`",
        ) from error
    store = block.store.get_client()
    plan = plans.load(store, block.migration)
    site = site_of(block.home, plan, store, patience=PATIENT_SECONDS)
    # the observer notices by it when the process vanishes
    flow_sign.give(store, root_run_id())
    return site


async def open_run(migration: str, cutover_id: int) -> CutoverRun:
    """Connect to a migration from a phase's flow, whose parameters are names and ids only.

    Raises:
        InvalidInput: No such migration or cutover is known.
        StoreError: The store cannot be used.
    """
    site = await open_site(migration)
    return CutoverRun(site, cutovers.get(site.store, cutover_id), root_run_id())


def root_run_id() -> str:
    """Return the id of the flow run that the worker started, also from inside a subflow.

    Raises:
        InvalidInput: Called outside a flow run.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise InvalidInput("this works inside a Prefect flow run only")
    # the worker tells its process which run it is for; a subflow has a run of its own
    root = os.environ.get("PREFECT__FLOW_RUN_ID")
    return str(UUID(root)) if root else str(context.flow_run.id)
