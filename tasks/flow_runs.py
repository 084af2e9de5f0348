"""What a flow opens once and hands to its steps, and which flow run it is."""

from __future__ import annotations

import os
from contextvars import ContextVar
from uuid import UUID

from prefect.context import FlowRunContext

from blocks.plan import PlanBlock, block_name
from changeover import telemetry
from changeover.domain.prefect_owner import owner_in
from changeover.errors import InvalidInput
from changeover.gateway.publish import PATIENT_SECONDS
from changeover.procedures.steps import CutoverRun
from changeover.site import flow_sign
from changeover.site.elsewhere import site_of
from changeover.site.home import STORE_VARIABLE
from changeover.site.site import Site
from changeover.store import cutovers, identity, plans
from changeover.store.engine import Store


async def open_site(migration: str | None) -> Site:
    """Connect to a migration and note this process as the one that carries the flow run.

    Args:
        migration: Name of the migration; None takes the one that `changeover up` started last.

    Raises:
        InvalidInput: No such migration was registered with this Prefect server.
        StoreError: The store cannot be used.
    """
    telemetry.start("flow")
    home, store, name = await _opened(migration)
    site = site_of(home, plans.load(store, name), store, patience=PATIENT_SECONDS)
    # the observer notices by it when the process vanishes
    flow_sign.give(store, root_run_id())
    return site


async def _opened(migration: str | None) -> tuple[str, Store, str | None]:
    """Return the home, the store and the migration's name of a flow run.

    Several databases may use one server. The block, of which there is one for each name, may
    then be another one's, and its home and name are nothing to this run: another one's routes
    would go into that home's gateway. This worker's environment says which database is meant.

    Raises:
        InvalidInput: No such migration is known, or the run is of another database.
        StoreError: The store cannot be used.
    """
    owner, url = _owner(), os.environ.get(STORE_VARIABLE)
    block: PlanBlock | None = None
    try:
        block = await PlanBlock.aload(block_name(migration) if migration else "current")
    except ValueError as error:
        if not (owner and url):
            raise InvalidInput(
                f"no migration {migration or 'at all'} is registered with this Prefect server",
                next_step="Run `changeover up --plan FILE` first, or `changeover deploy`",
            ) from error
    # the variable comes before the home, here as there
    store = block.store.get_client() if block is not None else Store.open(str(url))
    found = identity.of(store)
    # what was made before there were names has none: neither the run's tags nor the block
    if block is not None and owner in ("", found) and block.store_id in (found, owner):
        return block.home, store, block.migration
    if owner == found:
        return "", store, migration
    store.close()
    raise InvalidInput(
        "this flow run is of another database than this worker's", where=f"${STORE_VARIABLE}",
        next_step="Give each database a work pool of its own, and its workers its address")


_root_owner: ContextVar[str] = ContextVar("_root_owner", default="")


def _owner() -> str:
    """Return whose the run is by its tags; a subflow's is its parent's."""
    context = FlowRunContext.get()
    tags = context.flow_run.tags if context is not None and context.flow_run else ()
    if owner := owner_in(tags):
        _root_owner.set(owner)
    return owner or _root_owner.get()


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
