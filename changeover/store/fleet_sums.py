"""Seconds of all gateways summed into one row each, soon after they are over.

Whoever reads seconds reads these sums instead of hundreds of rows (`sample_rows.counting`). They
are made of what had come by then. What a gateway sends later is summed anew while its own rows are
there, and once more when they are folded into minutes (`samples.rollup`).
"""

from __future__ import annotations

from sqlalchemy import select, update

from changeover.analysis.window import Sample
from changeover.store.covering import MINUTE
from changeover.store.engine import Store
from changeover.store.sample_rows import (
    FleetSumRow,
    rows_of_gateways,
    summed_span,
    write_in,
)
from changeover.store.samples import seconds_of_all, summed_up_until
from changeover.store.upserts import upsert_of

AT_ONCE = 4
"""Seconds that one call sums up, with 200 nodes 2,400 rows: who is behind catches up bit by bit."""


def begin(store: Store, migration: str, *, now: int) -> None:
    """Sum up seconds from the next whole minute on, unless that has begun already.

    Args:
        store: The store.
        migration: Name of the migration.
        now: Unix second.
    """
    start = (now // MINUTE + 1) * MINUTE
    with store.begin(is_durable=False) as session:
        session.execute(upsert_of(session)(FleetSumRow).values(
            migration=migration, since=start, until=start, main_until=0).on_conflict_do_nothing())


def main_until(store: Store, migration: str) -> int:
    """Return until when the main gateway's seconds are in minutes of all; 0 for none.

    Sent once more they would count twice.
    """
    query = select(FleetSumRow.main_until).where(FleetSumRow.migration == migration)
    with store.read() as session:
        return session.scalar(query) or 0


def merge(
    store: Store, migration: str, *, until: int, since: int | None = None
) -> tuple[list[Sample], range]:
    """Sum up some seconds that are not yet, or again some of which more has come.

    Args:
        store: The store.
        migration: Name of the migration.
        until: Unix second; seconds from there on may be incomplete still.
        since: The first second of which something came late; None for none.

    Returns:
        The sums that were written, and of which seconds they are; those before them are done.
    """
    with store.read() as session:
        known = summed_span(session, migration)
        if known is None:
            return [], range(0)
        start = known.stop
        if since is not None:
            # what is older was folded: its rows are not there any more
            folded = max(known.start, summed_up_until(session, migration))
            start = min(start, max(since, folded))
        span = range(start, max(start, min(until, start + AT_ONCE)))
        if not span:
            return [], span
        rows = rows_of_gateways(session, migration, span)
    # outside of both transactions: it takes a moment, and the server ends those that stand still
    sums = seconds_of_all(rows)
    with store.begin(is_durable=False) as session:
        write_in(session, migration, sums)
        session.execute(update(FleetSumRow).where(
            FleetSumRow.migration == migration, FleetSumRow.until < span.stop,
        ).values(until=span.stop))
    return sums, span
