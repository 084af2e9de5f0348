"""Reading what was measured of a migration, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from changeover.analysis.window import Window, combine, of_subset
from changeover.plan.conditions import CheckSpec
from changeover.store import comparisons, place_counts, samples
from changeover.store.covering import MINUTE
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
            segment: Requests and outcomes of this segment's users only.
        """
        if place is None:
            return samples.window(
                self.store, self.migration, system, start=start, end=end, segment=segment)
        # one place is counted in steps of ten seconds, with what was compared in them
        found = samples.window(self.store, self.migration, system, start=start, end=end)
        counts = place_counts.count(self.store, self.migration, place, start=start, end=end)
        return replace(
            found, compared=counts.compared, matched=counts.compared - counts.diverged)

    def minutes(
        self, system: str, check: CheckSpec, *, start: datetime, end: datetime
    ) -> list[float | None]:
        """Return a check's metric in each whole minute of [start, end) that was measured.

        Args:
            system: `baseline` or `candidate`.
            check: A check of a metric of traffic, health or processes.
            start: Aware UTC start; a minute that began before it is left out.
            end: Aware UTC end; a minute that ends after it is left out.
        """
        # only whole minutes: the values of parts of a minute would spread more
        first = math.ceil(start.timestamp() / MINUTE) * MINUTE
        last = int(end.timestamp()) // MINUTE * MINUTE
        if first >= last:
            return []
        found = samples.series(
            self.store, self.migration, system,
            start=datetime.fromtimestamp(first, UTC),
            # the end of a series is one of its seconds
            end=datetime.fromtimestamp(last - 1, UTC),
            points=(last - first) // MINUTE,
        )
        values = []
        for each in found:
            own = of_subset(each, check.subset)
            values.append(combine([own], seconds=MINUTE).measure(check.measured.name).value)
        return values

    def coverage(self) -> dict[str, int]:
        """Return how many copied requests had which outcome: compared, dropped and why."""
        return comparisons.coverage(self.store, self.migration)
