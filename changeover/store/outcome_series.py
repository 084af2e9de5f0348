"""Reported outcomes over time, merged into as many sums as a chart shows."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from changeover.analysis.window import Sample, Window, combine
from changeover.store import outcomes
from changeover.store.covering import MINUTE
from changeover.store.engine import Store


def series(
    store: Store, migration: str, system: str, *, start: datetime, end: datetime, points: int
) -> dict[int, Window]:
    """Return a system's outcomes in [start, end) as at most about `points` windows with any.

    Steps longer than half a minute are whole minutes, which are read from their sums.

    Args:
        store: The store.
        migration: Name of the migration.
        system: `baseline` or `candidate`.
        start: Aware time.
        end: Aware time.
        points: How many windows there may be.

    Returns:
        The windows by the second in which each begins.
    """
    first, last = int(start.timestamp()), int(end.timestamp()) + 1
    step = max(1, -(-(last - first) // points))
    resolution = 1
    if step > MINUTE // 2:
        resolution, step = MINUTE, -(-step // MINUTE) * MINUTE
    # by the clock: steps stay where they are while the range moves on
    span = range(first // step * step, last)
    with store.read() as session:
        rows = outcomes.read_rows(
            session, migration, system, None, resolution=resolution, span=span)
    groups: dict[int, list[Sample]] = defaultdict(list)
    for row in rows:
        groups[row.at // step * step].append(row)
    # the newest has only begun: a rate is of the part that has passed
    return {at: combine(groups[at], seconds=min(step, last - at)) for at in sorted(groups)}
