"""Reading what was measured of a migration, window by window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

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
