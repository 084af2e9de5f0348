"""A migration as a Prefect block: its plan and its connections."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field

from blocks.gateway import GatewayBlock
from blocks.metrics_source import MetricsSourceBlock
from blocks.notifier import NotifierBlock
from blocks.schema import SchemaOnce
from blocks.store import StoreBlock
from blocks.system import SystemBlock
from changeover.plan.model import Plan
from changeover.store import plans
from changeover.store.engine import Store


class PlanBlock(SchemaOnce, Block):
    """One migration with its connections; flows load it by the migration's name.

    Example:
        ```python
        from blocks import PlanBlock

        block = PlanBlock.load("documents")
        plan = block.read(block.store.get_client())
        ```
    """

    _block_type_name = "Changeover Plan"
    _block_type_slug = "changeover-plan"
    _description = "A migration: its plan, systems, gateway, store, metrics and notifier."

    migration: str = Field(description="Name of the migration.")
    home: str = Field(
        default="", description="Home directory of `changeover up` on its machine.")
    store_id: str = Field(
        default="", description="The database's own name; a block of before there were any: none.")
    store: StoreBlock = Field(description="The store.")
    gateway: GatewayBlock = Field(description="The gateway.")
    baseline: SystemBlock = Field(description="The old system.")
    candidate: SystemBlock = Field(description="The new system.")
    metrics: MetricsSourceBlock = Field(description="Where gates read their numbers.")
    notifier: NotifierBlock = Field(description="Who is notified.")

    def read(self, store: Store) -> Plan:
        """Return the plan as it was registered in the store.

        Raises:
            InvalidInput: The store knows no such migration.
        """
        return plans.load(store, self.migration)


def block_name(migration: str) -> str:
    """Return the block name of a migration: Prefect allows lowercase, digits and dashes."""
    return migration.replace("_", "-")
