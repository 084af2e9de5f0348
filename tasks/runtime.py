"""What every task works with: the plan, the store, the gateway and who is told.

A flow opens it once by the migration's name; tasks then find it by that name, so that their
parameters in the Prefect UI stay short and readable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

import psutil
from prefect.context import FlowRunContext

from blocks.metrics_source import MetricsReader
from blocks.notifier import NotifierBlock
from blocks.plan import PlanBlock, block_name
from changeover import clock
from changeover.domain.rollout import Cutover
from changeover.domain.routing import RoutingState
from changeover.errors import InvalidInput, StaleEpoch
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import carriers, cutovers, heartbeats, plans, routing
from changeover.store.engine import Store


@dataclass(frozen=True)
class Runtime:
    """The connections of one migration inside a flow process."""

    plan: Plan
    home: Home
    store: Store
    gateway: Gateway
    metrics: MetricsReader
    notifier: NotifierBlock
    reports_url: str

    @property
    def migration(self) -> str:
        """Name of the migration."""
        return self.plan.migration

    @cached_property
    def site(self) -> Site:
        """The migration on this machine."""
        return Site(self.home, self.plan, self.store, self.gateway)


_opened: dict[str, Runtime] = {}


async def open_runtime(migration: str | None) -> Runtime:
    """Connect to a migration and note this process as the one that carries the flow run.

    Args:
        migration: Name of the migration; None takes the one that `changeover up` started last.

    Raises:
        InvalidInput: No such migration was registered with this Prefect server.
        StoreError: The store cannot be used.
    """
    name = block_name(migration) if migration else "current"
    try:
        block: PlanBlock = await PlanBlock.aload(name)
    except ValueError as error:
        raise InvalidInput(
            f"no migration {migration or 'at all'} is registered with this Prefect server",
            next_step="Run `changeover up --plan FILE` first",
        ) from error
    store = block.store.get_client()
    runtime = Runtime(
        plan=plans.load(store, block.migration),
        home=Home(Path(block.home)),
        store=store,
        gateway=block.gateway.get_client(),
        metrics=MetricsReader(store, block.migration),
        notifier=block.notifier,
        reports_url=block.reports_url,
    )
    _opened[runtime.migration] = runtime
    _sign_of_life(runtime)
    return runtime


def runtime_of(migration: str) -> Runtime:
    """Return the runtime that the flow opened.

    Raises:
        InvalidInput: No flow of this process opened it.
    """
    try:
        return _opened[migration]
    except KeyError:
        raise InvalidInput(f"the flow has not connected to migration {migration}") from None


def root_run_id() -> UUID:
    """Return the id of the flow run that the worker started, also from inside a subflow.

    Raises:
        InvalidInput: Called outside a flow run.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise InvalidInput("this works inside a Prefect flow run only")
    root = os.environ.get("PREFECT__FLOW_RUN_ID")
    return UUID(root) if root else context.flow_run.id


def own_run_id() -> str | None:
    """Return the id of the flow run that this process carries; None outside of one."""
    context = FlowRunContext.get()
    return str(root_run_id()) if context is not None and context.flow_run is not None else None


def refuse_when_carried_elsewhere(runtime: Runtime, cutover_id: int) -> None:
    """See that this run is the one that carries the cutover.

    Raises:
        CarriedElsewhere: Another does, or this one was cancelled and only its process lives on.
    """
    own = own_run_id()
    if own is not None:
        known = carriers.one(runtime.store, runtime.migration, cutovers.subject(cutover_id))
        carriers.refuse_other(known, own)


def is_root() -> bool:
    """Whether the present flow is the one that the worker started, not a subflow."""
    context = FlowRunContext.get()
    return (
        context is not None
        and context.flow_run is not None
        and context.flow_run.parent_task_run_id is None
    )


def current_state(runtime: Runtime, cutover: Cutover) -> RoutingState:
    """Return the routing state.

    Raises:
        StaleEpoch: A rollback came after the cutover began; it may change nothing more.
        CarriedElsewhere: Another flow run carries the cutover by now.
    """
    refuse_when_carried_elsewhere(runtime, cutover.id)
    state = routing.read(runtime.store, runtime.migration)
    if state.epoch != cutover.epoch:
        raise StaleEpoch(
            f"not continued because a rollback came first (epoch {state.epoch}, "
            f"cutover {cutover.id} began in epoch {cutover.epoch})",
            where=f"migration {runtime.migration}",
        )
    return state


def _sign_of_life(runtime: Runtime) -> None:
    """Tell the observer which process carries this run, so that it notices when it vanishes."""
    process = psutil.Process()
    heartbeats.beat(
        runtime.store,
        f"flow:{root_run_id()}",
        pid=process.pid,
        detail=f"{process.create_time():.2f}",
        now=clock.now(),
    )
