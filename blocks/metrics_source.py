"""The source of metrics as a Prefect block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from blocks.store import StoreBlock
from changeover.analysis.window import Window
from changeover.store import comparisons, place_counts, samples
from changeover.store.engine import Store


@dataclass(frozen=True)
class MetricsReader:
    """Reads windows of one migration's measurements."""

    store: Store
    migration: str

    def window(
        self, system: str, *, start: datetime, end: datetime, place: str | None = None,
        segment: str | None = None,
    ) -> Window:
        """Return what was measured of `system` in [start, end).

        Args:
            system: `baseline` or `candidate`.
            start: Aware UTC start, included.
            end: Aware UTC end, excluded.
            place: Count only divergences at this place (`$.total`), above and below it.
            segment: Outcomes of this segment of users only.
        """
        if place is None:
            return samples.window(
                self.store, self.migration, system, start=start, end=end, segment=segment)
        # one place is counted in steps of ten seconds, with what was compared in them
        found = samples.window(self.store, self.migration, system, start=start, end=end)
        counts = place_counts.count(self.store, self.migration, place, start=start, end=end)
        return replace(
            found, compared=counts.compared, matched=counts.compared - counts.diverged)

    def coverage(self) -> dict[str, int]:
        """Return how many copied requests had which outcome: compared, dropped and why."""
        return comparisons.coverage(self.store, self.migration)


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
    _description = "The measurements of a migration's two systems."

    migration: str = Field(description="Name of the migration.")
    store: StoreBlock = Field(description="The store with the samples.")

    def get_client(self) -> MetricsReader:
        """Return a reader of windows.

        Raises:
            StoreError: The database cannot be used.
        """
        return MetricsReader(self.store.get_client(), self.migration)
