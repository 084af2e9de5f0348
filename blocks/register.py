"""Save the blocks of one migration: `python -m blocks.register --home DIR --migration NAME`.

Run by `changeover up` after Prefect's server answers; safe to run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from blocks import (
    ALL_BLOCKS,
    GatewayBlock,
    MetricsSourceBlock,
    NotifierBlock,
    PlanBlock,
    StoreBlock,
    SystemBlock,
)
from blocks.plan import block_name
from changeover.home import Home
from changeover.plan.model import Plan, SystemSpec
from changeover.store import plans


def _system(role: str, spec: SystemSpec) -> SystemBlock:
    return SystemBlock(
        role=role,
        name=spec.name,
        url=spec.url,
        health=spec.health,
        timeout_seconds=spec.health_timeout.total_seconds(),
    )


def plan_block(plan: Plan, home: Home, reports_url: str) -> PlanBlock:
    """Return the unsaved block of a migration with all its connections inside."""
    store = StoreBlock(home=str(home.root))
    return PlanBlock(
        migration=plan.migration,
        home=str(home.root),
        reports_url=reports_url,
        store=store,
        gateway=GatewayBlock(home=str(home.root)),
        baseline=_system("baseline", plan.systems.baseline),
        candidate=_system("candidate", plan.systems.candidate),
        metrics=MetricsSourceBlock(migration=plan.migration, store=store),
        notifier=NotifierBlock(
            addresses=[found for hook in plan.notify if (found := hook.webhook or hook.apprise)],
            variables=[hook.env for hook in plan.notify if hook.env],
        ),
    )


def save_all(plan: Plan, home: Home, reports_url: str) -> None:
    """Register the block types and save the migration's blocks, and as `current` the plan."""
    for block_type in ALL_BLOCKS:
        block_type.register_type_and_schema()
    block = plan_block(plan, home, reports_url)
    name = block_name(plan.migration)
    block.store.save(name, overwrite=True)
    block.gateway.save(name, overwrite=True)
    block.baseline.save(f"{name}-baseline", overwrite=True)
    block.candidate.save(f"{name}-candidate", overwrite=True)
    block.metrics.save(name, overwrite=True)
    block.notifier.save(name, overwrite=True)
    for plan_name in (name, "current"):
        plan_block(plan, home, reports_url).save(plan_name, overwrite=True)


def main() -> None:
    """Read the arguments and save the blocks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="Home directory.")
    parser.add_argument("--migration", required=True, help="Name of the migration.")
    parser.add_argument("--reports-url", default="", help="Where reports are served.")
    arguments = parser.parse_args()
    home = Home(arguments.home)
    store = StoreBlock(home=str(home.root)).get_client()
    save_all(plans.load(store, arguments.migration), home, arguments.reports_url)


if __name__ == "__main__":
    main()
