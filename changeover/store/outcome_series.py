"""Reported outcomes over time, merged into as many sums as a chart shows."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from changeover.analysis.window import Sample, Window, combine, outcomes_of
from changeover.store import outcomes
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from changeover.store.series import Part, outcome_columns

WHOLE_UP_TO = 24 * HOUR
"""Seconds of time of which durations and quality numbers are read: a week of them takes seconds."""


def series(
    store: Store, migration: str, system: str, *, start: datetime, end: datetime, points: int
) -> dict[int, Window]:
    """Return a system's outcomes in [start, end) as at most about `points` windows with any.

    Steps longer than half a minute are whole minutes, which are read from their sums. Of more than
    `WHOLE_UP_TO`, only how many there were and how many failed is read.

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
    if last - first > WHOLE_UP_TO:
        return _counted(store, migration, Part(system, resolution, span), step)
    with store.read() as session:
        rows = outcomes.read_rows(
            session, migration, system, None, resolution=resolution, span=span)
    groups: dict[int, list[Sample]] = defaultdict(list)
    for row in rows:
        groups[row.at // step * step].append(row)
    # the newest has only begun: a rate is of the part that has passed
    return {at: combine(groups[at], seconds=min(step, last - at)) for at in sorted(groups)}


def _counted(store: Store, migration: str, part: Part, step: int) -> dict[int, Window]:
    """Return nothing but the numbers of outcomes and failures: a month in a tenth of a second."""
    times, (numbers, failures) = outcome_columns(store, migration, part, None)
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    rows = zip(times.tolist(), numbers.tolist(), failures.tolist(), strict=True)
    for at, number, failed in rows:
        known = sums[at // step * step]
        known[0] += int(number)
        known[1] += int(failed)
    found = {}
    for at, (number, failed) in sums.items():
        row = Sample(outcomes_of(part.system), at, step, outcomes=number, failures=failed)
        found[at] = combine([row], seconds=min(step, part.span.stop - at))
    return found
