"""How long comparisons are kept: by age, number and size. The oldest go first, bodies before rows.

Examples are kept with their places (`DivergenceRow`), the longest: nothing here takes them. Both
places and counts of places are few, however many keys documents have: see `MOST_FIELDS` and
`place_counts`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from changeover.store.comparisons import ComparisonRow
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store
from changeover.store.place_counts import DivergenceCountRow
from changeover.store.upserts import chunks

ROW_BYTES = 200
"""What a comparison takes without its bodies, indexes included (measured: 169)."""
BATCH = 1_000
"""Rows that one transaction deletes or empties: nobody else waits for long."""


def prune(
    store: Store, migration: str, *, keep: int, keep_for: timedelta, keep_bytes: int,
    now: datetime,
) -> int:
    """Delete comparisons beyond their age and size, and bodies beyond the newest `keep`.

    Examples stay: they are kept with their places.

    Args:
        store: The store.
        migration: Name of the migration.
        keep: Most comparisons with both bodies.
        keep_for: Longest age of a comparison.
        keep_bytes: Most bytes of comparisons, bodies included, within a batch.
        now: The present moment, aware.

    Returns:
        How many comparisons were deleted.
    """
    gone = 0
    # more rows than these would not fit even without their bodies
    most = keep_bytes // ROW_BYTES
    while True:
        number = _delete_oldest(store, migration, now - keep_for, most)
        gone += number
        # fewer than a batch: nothing is left that is too old or too much
        if number < BATCH:
            break
    with store.read() as session:
        # rows come first: bodies get the space that rows leave
        rows = _count(session, migration)
        last = _last_without_body(
            session, migration, keep, max(0, keep_bytes - rows * ROW_BYTES))
    _drop_bodies(store, migration, last)
    old = (DivergenceCountRow.migration == migration,
           DivergenceCountRow.at < int((now - keep_for).timestamp()))
    delete_oldest(store, DivergenceCountRow, DivergenceCountRow.at, old, most=BATCH)
    return gone


def _count(session: Session, migration: str) -> int:
    """Return how many comparisons of a migration there are; ids are shared with all others."""
    query = select(func.count()).where(ComparisonRow.migration == migration)
    return int(session.scalar(query) or 0)


def _delete_oldest(store: Store, migration: str, before: datetime, most: int) -> int:
    """Delete a batch of what is too old, or more than `most`; found first, deleted then."""
    mine = ComparisonRow.migration == migration
    # searched outside of the transaction: nobody waits for the search
    with store.read() as session:
        beyond = _count(session, migration) - most
        oldest = session.execute(
            select(ComparisonRow.id, ComparisonRow.at).where(mine).order_by(ComparisonRow.id)
            .limit(BATCH))
        # too old, or among the first of those that are too many
        doomed = [row.id for place, row in enumerate(oldest)
                  if row.at < before or place < beyond]
    for part in chunks(doomed):
        with store.begin(is_durable=False) as session:
            session.execute(delete(ComparisonRow).where(mine, ComparisonRow.id.in_(part)))
    return len(doomed)


def _last_without_body(session: Session, migration: str, keep: int, room: int) -> int | None:
    """Return the newest comparison that loses its bodies: beyond the newest `keep`, or those that
    fit into `room` bytes. None when all keep theirs."""
    newest = session.execute(
        select(ComparisonRow.id, func.length(ComparisonRow.answers))
        .where(ComparisonRow.migration == migration, ComparisonRow.answers.is_not(None))
        # one more than may keep theirs: the first that may not is `last`
        .order_by(ComparisonRow.id.desc()).limit(keep + 1))
    for place, (key, size) in enumerate(newest):
        room -= size
        if place >= keep or room < 0:
            return int(key)
    return None


def _drop_bodies(store: Store, migration: str, last: int | None) -> None:
    """Empty comparisons up to `last`, in parts."""
    if last is None:
        return
    kept = (ComparisonRow.migration == migration, ComparisonRow.answers.is_not(None),
            ComparisonRow.id <= last)
    while True:
        with store.read() as session:
            part = session.scalars(
                select(ComparisonRow.id).where(*kept).order_by(ComparisonRow.id).limit(BATCH)).all()
        if not part:
            return
        with store.begin(is_durable=False) as session:
            session.execute(
                update(ComparisonRow).where(*kept, ComparisonRow.id <= part[-1])
                .values(answers=None).execution_options(synchronize_session=False))
