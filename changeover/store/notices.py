"""A word to who follows a routing state, where the database can give one (PostgreSQL).

It says that there is something to read, and nothing else: whoever misses it reads it at the next
poll. Whether words arrive at all is tried when a connection is made: a pool between that gives each
statement another session (PgBouncer's transaction mode) takes LISTEN and lets nothing through.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from changeover.errors import StoreError
from changeover.store.clear_errors import clear_errors
from changeover.store.engine import Store

_CHANNEL = "changeover_routing"
_TRIED_SECONDS = 2.0


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
        StoreError: The connection cannot be made, or has ended, or words do not arrive on it.
    """
    with clear_errors(store.engine.url):
        connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101  it was used just now
            _try(connection, driver)
            connection.execute(text(f"LISTEN {_CHANNEL}"))
            yield _changes(driver, migration, seconds)
        finally:
            # not back to the pool, which knows nothing of LISTEN
            connection.invalidate()
            connection.close()


def _try(connection: Connection, driver: object) -> None:
    """Raise StoreError unless the connection hears what it says itself."""
    own = f"changeover_{secrets.token_hex(8)}"
    connection.execute(text(f"LISTEN {own}"))
    connection.execute(text(f"NOTIFY {own}"))
    heard = list(driver.notifies(timeout=_TRIED_SECONDS, stop_after=1))  # type: ignore[attr-defined]
    connection.execute(text(f"UNLISTEN {own}"))
    if not heard:
        raise StoreError(
            "the database takes LISTEN, and nothing arrives",
            next_step="A pool between must keep sessions: give the database's own address")


def _changes(driver: object, migration: str, seconds: float) -> Iterator[bool]:
    from psycopg import Error  # there where this is used

    while True:
        try:
            found = list(driver.notifies(timeout=seconds, stop_after=1))  # type: ignore[attr-defined]
        except Error as error:
            raise StoreError(f"the database says nothing more: {error}") from error
        yield any(each.payload == migration for each in found)
