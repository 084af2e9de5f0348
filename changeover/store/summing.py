"""Who sums up measurements: one at a time, and those who sum up what came late between them.

Sums are made of what a transaction reads. One that began before late rows were stored, and ends
after their sender looked whether its minutes are summed up, would leave them out for ever.
"""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from changeover.store.lock_numbers import lock_number

IDLE_SECONDS = 60
"""A process that stands still with the lock holds up the others for so long."""


def lock_sums(session: Session, migration: str) -> None:
    """Wait until nobody else sums up this migration, until the end of the transaction.

    To be called before anything is read. SQLite has one writer anyway.
    """
    if _is_shared(session):
        session.execute(select(func.pg_advisory_xact_lock(_number(migration))))


def lock_late_sums(session: Session, migration: str, *, waits: bool) -> bool:
    """Keep all from summing up but those who do it for what came late, each its own gateway's.

    Args:
        session: A session in which nothing was read.
        migration: Name of the migration.
        waits: Wait for who sums up now.

    Returns:
        Whether it was done; always when it waits.
    """
    if not _is_shared(session):
        return True
    number = _number(migration)
    if waits:
        session.execute(select(func.pg_advisory_xact_lock_shared(number)))
        return True
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock_shared(number))))


def _is_shared(session: Session) -> bool:
    if session.get_bind().dialect.name == "sqlite":
        return False
    session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}"))
    return True


def _number(migration: str) -> int:
    return lock_number(f"changeover sums {migration}")
