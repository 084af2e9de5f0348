"""How long comparisons are kept: by age, number and size. The oldest go first, bodies before rows.

Examples are kept with their places (`DivergenceRow`), the longest: nothing here takes them. Both
places and counts of places are few, however many keys documents have: see `MOST_FIELDS` and
`place_counts`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from changeover.store.engine import Store, chunks
from changeover.store.tables import ComparisonRow, DivergenceCountRow

ROW_BYTES = 200
"""What a comparison takes without its bodies, indexes included (measured: 169)."""
BATCH = 5_000
"""Rows that one transaction deletes: nobody else waits for long."""


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
        now: Aware time of this look.

    Returns:
        How many comparisons were deleted.
    """
    gone = 0
    most = keep_bytes // ROW_BYTES
    while True:
        with store.begin() as session:
            number = _delete_oldest(session, migration, now - keep_for, most)
        gone += number
        if number < BATCH:
            break
    with store.begin() as session:
        rows = _count(session, migration)
        _drop_bodies(session, migration, keep, max(0, keep_bytes - rows * ROW_BYTES))
        session.execute(delete(DivergenceCountRow).where(
            DivergenceCountRow.migration == migration,
            DivergenceCountRow.at < (now - keep_for).timestamp()))
    return gone


def _count(session: Session, migration: str) -> int:
    """Return how many comparisons of a migration there are; ids are shared with all others."""
    query = select(func.count()).where(ComparisonRow.migration == migration)
    return int(session.scalar(query) or 0)


def _delete_oldest(session: Session, migration: str, before: datetime, most: int) -> int:
    """Delete a batch of what is too old, or more than `most`."""
    mine = ComparisonRow.migration == migration
    beyond = _count(session, migration) - most
    oldest = session.execute(
        select(ComparisonRow.id, ComparisonRow.at).where(mine).order_by(ComparisonRow.id)
        .limit(BATCH))
    doomed = [row.id for place, row in enumerate(oldest) if row.at < before or place < beyond]
    for part in chunks(doomed):
        session.execute(delete(ComparisonRow).where(mine, ComparisonRow.id.in_(part)))
    return len(doomed)


def _drop_bodies(session: Session, migration: str, keep: int, room: int) -> None:
    """Keep the bodies of the newest `keep` comparisons, as long as they fit into `room` bytes."""
    kept = (ComparisonRow.migration == migration, ComparisonRow.answers.is_not(None))
    newest = session.execute(
        select(ComparisonRow.id, func.length(ComparisonRow.answers)).where(*kept)
        .order_by(ComparisonRow.id.desc()).limit(keep + 1))
    for place, (key, size) in enumerate(newest):
        room -= size
        if place >= keep or room < 0:
            session.execute(update(ComparisonRow).values(answers=None).where(
                *kept, ComparisonRow.id <= key))
            return
