"""Seconds that a gateway sent after their minute was summed up: summed up once more.

A span is read from whole minutes and hours where there are any. Without this, what a node measured
while it was cut off from the store would stand in seconds that nobody reads.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import delete

from changeover.analysis.window import Sample
from changeover.store.covering import HOUR, MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.samples import (
    SAMPLED,
    SampleRow,
    read_rows,
    sum_of,
    summed_up_until,
    write_in,
)
from changeover.store.summing import lock_late_sums

AT_ONCE = 10
"""Minutes in one transaction, so that nobody waits long."""


def sum_up(
    store: Store, migration: str, gateway: str, span: range, *, waits: bool = True
) -> int | None:
    """Sum a gateway's seconds anew where minutes were summed up already; return how many were.

    None when somebody sums up minutes at this moment: then it is to be called again, for all.

    The hours of these minutes are deleted: such an hour is read from its minutes then.

    Args:
        store: The store.
        migration: Name of the migration.
        gateway: Name of the gateway whose seconds came late.
        span: Unix seconds; minutes that begin in it are looked at.
        waits: Wait for who sums up minutes at this moment.
    """
    number = 0
    for start in range(span.start // MINUTE * MINUTE, span.stop, AT_ONCE * MINUTE):
        part = range(start, min(span.stop, start + AT_ONCE * MINUTE))
        done = _sum_part(store, migration, gateway, part, waits=waits)
        if done is None:
            return None
        number += done
    return number


def _sum_part(
    store: Store, migration: str, gateway: str, span: range, *, waits: bool
) -> int | None:
    with store.begin(is_durable=False) as session:
        if not lock_late_sums(session, migration, waits=waits):
            return None
        # asked with the lock: who summed up before is done, and who does it later reads all of it
        span = range(span.start, min(span.stop, summed_up_until(session, migration)))
        groups: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        for sample in read_rows(session, migration, None, SECOND, span=span, of=(gateway,)):
            groups[sample.system, sample.at // MINUTE * MINUTE].append(sample)
        if not groups:
            return 0
        minutes = [sum_of(system, gateway, range(at, at + MINUTE), group)
                   for (system, at), group in groups.items()]
        write_in(session, migration, minutes)
        session.execute(delete(SampleRow).where(
            SampleRow.migration == migration, SampleRow.system.in_(SAMPLED),
            SampleRow.resolution == HOUR, SampleRow.at >= span.start // HOUR * HOUR,
            SampleRow.at < span.stop))
        return len({at for _, at in groups})
