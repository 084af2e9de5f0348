"""Save the blocks of one migration; safe to do again. Called by `blocks.prepare`."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from prefect.client.orchestration import get_client

from blocks import (
    GatewayBlock,
    MetricsSourceBlock,
    NotifierBlock,
    PlanBlock,
    StoreBlock,
    SystemBlock,
)
from blocks.plan import block_name
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from changeover.site.home import Home


def _system(role: str, spec: SystemSpec) -> SystemBlock:
    return SystemBlock(
        role=role,
        name=spec.name,
        url=spec.url,
        host=spec.host,
        health=spec.health,
        timeout_seconds=spec.health_timeout.total_seconds(),
    )


def plan_block(plan: Plan, home: str, store_id: str) -> PlanBlock:
    """Return the unsaved block of a migration with all its connections inside."""
    store = StoreBlock(home=home)
    return PlanBlock(
        migration=plan.migration,
        home=home,
        store_id=store_id,
        store=store,
        gateway=GatewayBlock(home=home),
        baseline=_system("baseline", plan.systems.baseline),
        candidate=_system("candidate", plan.systems.candidate),
        metrics=MetricsSourceBlock(migration=plan.migration, store=store),
        notifier=_notifier(plan),
    )


def _notifier(plan: Plan) -> NotifierBlock:
    addresses, variables = [], []
    for hook in plan.notify:
        if address := hook.webhook or hook.apprise:
            addresses.append(address)
        if hook.env:
            variables.append(hook.env)
    return NotifierBlock(addresses=addresses, variables=variables)


async def _known_home(plan: Plan, databases: Collection[str]) -> str:
    """Return the home that was saved for a migration by one of some databases; empty: by none."""
    with suppress(ValueError):
        known: PlanBlock = await PlanBlock.aload(block_name(plan.migration))
        return known.home if known.store_id in databases else ""
    return ""


async def save_all(
    plan: Plan, home: Home | None, store_id: str, *, takes_over: bool = False
) -> None:
    """Save the migration's blocks with their types; its plan also under the name `current`.

    Args:
        plan: The plan.
        home: The home of `changeover up` here; None: from elsewhere, what is known stays.
        store_id: The database's own name.
        takes_over: Whether what is there may be another database's.
    """
    # a block of before there were names has none
    databases = (store_id,) if takes_over else (store_id, "")
    place = str(home.root) if home is not None else await _known_home(plan, databases)
    block = plan_block(plan, place, store_id)
    name = block_name(plan.migration)
    # One for all: making one takes as long as ten requests.
    async with get_client() as client:
        for each, saved_as in (
            (block.store, name),
            (block.gateway, name),
            (block.baseline, f"{name}-baseline"),
            (block.candidate, f"{name}-candidate"),
            (block.metrics, name),
            (block.notifier, name),
        ):
            await each.asave(saved_as, overwrite=True, client=client)
        # Scheduled runs load the migration as `current`: no deployment has to name it.
        for plan_name in (name, "current"):
            await plan_block(plan, place, store_id).asave(
                plan_name, overwrite=True, client=client)
