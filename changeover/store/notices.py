"""A word to who follows a routing state, where the database can give one (PostgreSQL).

It says that there is something to read, and nothing else: whoever misses it reads it at the next
poll.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from changeover.errors import StoreError
from changeover.store.clear_errors import clear_errors
from changeover.store.engine import Store

_CHANNEL = "changeover_routing"


def notify_in(session: Session, migration: str) -> None:
    """Have followers of a migration told as soon as the caller's transaction is committed."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(_CHANNEL, migration)))


@contextmanager
def listening(store: Store, migration: str, *, seconds: float) -> Iterator[Iterator[bool]]:
    """Listen on a connection of its own, until the block ends.

    Yields:
        An iterator: True when something changed, False when nothing did for `seconds`.

    Raises:
        StoreError: The connection cannot be made, or has ended.
    """
    with clear_errors(store.engine.url):
        connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text(f"LISTEN {_CHANNEL}"))
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101  it was used just now
            yield _changes(driver, migration, seconds)
        finally:
            # not back to the pool, which knows nothing of LISTEN
            connection.invalidate()
            connection.close()


def _changes(driver: object, migration: str, seconds: float) -> Iterator[bool]:
    from psycopg import Error  # there where this is used

    while True:
        try:
            found = list(driver.notifies(timeout=seconds, stop_after=1))  # type: ignore[attr-defined]
        except Error as error:
            raise StoreError(f"the database says nothing more: {error}") from error
        yield any(each.payload == migration for each in found)
