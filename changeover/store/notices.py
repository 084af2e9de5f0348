"""A word to who follows a routing state, where the database can give one (PostgreSQL).

It says that there is something to read, and nothing else: whoever misses it reads it at the next
poll. Who judges gives a sign on the same way every second: whoever hears it knows that words
arrive, also through pools, standbys and networks that let LISTEN pass and no word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from changeover.errors import StoreError
from changeover.store.clear_errors import clear_errors
from changeover.store.engine import Store

_CHANNEL = "changeover_routing"
_SIGN = " is judged"
"""After the migration's name, which has no blank: a sign that words arrive."""


class Word(StrEnum):
    """What the database says to who listens."""

    CHANGED = "changed"  # there may be something to read
    SIGN = "sign"  # nothing, but it is heard


def notify_in(session: Session, migration: str) -> None:
    """Have followers of a migration told as soon as the caller's transaction is committed."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(_CHANNEL, migration)))


def give_sign(store: Store, migration: str) -> None:
    """Have followers of a migration hear that they would hear of a change.

    Raises:
        StoreError: The store cannot be used.
    """
    if store.engine.dialect.name == "postgresql":
        with store.begin(is_durable=False) as session:
            session.execute(select(func.pg_notify(_CHANNEL, migration + _SIGN)))


@contextmanager
def listening(
    store: Store, migration: str, *, seconds: float
) -> Iterator[Iterator[Word | None]]:
    """Listen on a connection of its own, until the block ends.

    Yields:
        An iterator: what was heard of this migration; None when nothing was for `seconds`.

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


def _changes(driver: object, migration: str, seconds: float) -> Iterator[Word | None]:
    from psycopg import Error  # there where this is used

    while True:
        try:
            found = list(driver.notifies(timeout=seconds, stop_after=1))  # type: ignore[attr-defined]
        except Error as error:
            raise StoreError(f"the database says nothing more: {error}") from error
        payloads = {each.payload for each in found}
        if migration in payloads:
            yield Word.CHANGED
        else:
            yield Word.SIGN if migration + _SIGN in payloads else None
