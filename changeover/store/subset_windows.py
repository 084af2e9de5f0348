"""Windows of several subsets of a system's requests, by one read: a plan may have 200 routes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from changeover.analysis.window import Sample, Window, combine, of_subset
from changeover.store.covering import SIZES, covering
from changeover.store.engine import Store
from changeover.store.samples import read_rows


def windows_of(
    store: Store, migration: str, system: str, subsets: Sequence[str], *, start: datetime,
    end: datetime,
) -> dict[str, Window]:
    """Return what was measured of each subset in [start, end), as `samples.window` does of one.

    Args:
        store: The store.
        migration: Name of the migration.
        system: `baseline` or `candidate`.
        subsets: Names of the subsets, as `route:orders`.
        start: Aware time, included, rounded up to a whole second.
        end: Aware time, excluded, rounded down to a whole second.
    """
    span = range(-int(-start.timestamp() // 1), int(end.timestamp()))
    seconds = max(0.0, (end - start).total_seconds())
    with store.read() as session:
        def rows(resolution: int, first: int, last: int) -> list[Sample]:
            return read_rows(session, migration, system, resolution, span=range(first, last))

        found = covering(rows, span, SIZES)
    return {subset: combine([of_subset(row, subset) for row in found], seconds=seconds)
            for subset in subsets}
