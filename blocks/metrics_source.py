"""The source of metrics as a Prefect block."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from blocks.store import StoreBlock
from changeover.site.metrics import MetricsReader


class MetricsSourceBlock(SchemaOnce, Block):
    """Where gates read their numbers: the samples that the observer writes to the store.

    Example:
        ```python
        from blocks import MetricsSourceBlock

        reader = MetricsSourceBlock.load("documents").get_client()
        ```
    """

    _block_type_name = "Changeover Metrics Source"
    _block_type_slug = "changeover-metrics-source"
    _description = "What was measured of a migration's two systems."

    migration: str = Field(description="Name of the migration.")
    store: StoreBlock = Field(description="The store with the samples.")

    def get_client(self) -> MetricsReader:
        """Return a reader of measurements, a window of time at once.

        Raises:
            StoreError: The database cannot be used.
        """
        return MetricsReader(self.store.get_client(), self.migration)
