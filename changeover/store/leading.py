"""Which observer of a migration leads: a lock of PostgreSQL, and the row of who had it last.

The lock belongs to a session, so it ends with the process that has it. A process that stands still
does not say anything on its session, and the server ends that after `SESSION_SECONDS`.

The main machine's observer comes first: it has the users' main gateway. While it is there it holds
a second lock, with others of its machine, and an observer of another machine neither takes the
lead nor keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, String, func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from changeover import clock
from changeover.errors import StoreError
from changeover.store.base import Base, NameKey, to_record
from changeover.store.clear_errors import clear_errors
from changeover.store.engine import Store
from changeover.store.upserts import replace_in

SESSION_SECONDS = 5
"""The server ends a session that said nothing for so long (PostgreSQL 14 or later)."""


class LeadRow(Base):
    """The observer that took the lead last."""

    __tablename__ = "observer_lead"
    migration: Mapped[NameKey]
    name: Mapped[str] = mapped_column(String(63))
    token: Mapped[str] = mapped_column(String(32))
    since: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Lead:
    """Who took the lead last, and when.

    Args:
        migration: Of which migration.
        name: `main`, or the name of a spare observer.
        token: Tells one process from another.
        since: When.
    """

    migration: str
    name: str
    token: str
    since: datetime


def can_lead(store: Store) -> bool:
    """Whether a store has such locks: SQLite has not, and one machine with one observer."""
    return store.engine.dialect.name == "postgresql"


class LeadLock:
    """One observer's session with the lock. Its methods belong to one thread at a time.

    Args:
        store: The store, on PostgreSQL.
        lead: Who asks.
        is_spare: Whether the main machine's observer comes first.
    """

    def __init__(self, store: Store, lead: Lead, *, is_spare: bool) -> None:
        self._store, self._lead, self._is_spare = store, lead, is_spare
        self._connection: Connection | None = None
        self._key = _key(f"changeover observer {lead.migration}")
        self._main_key = _key(f"changeover main observer {lead.migration}")

    @property
    def is_open(self) -> bool:
        """Whether there is a session, as far as is known."""
        return self._connection is not None

    def take(self) -> bool:
        """Take the lead if nobody has it; whoever has it may ask again.

        Raises:
            StoreError: The store cannot be used.
        """
        with self._clear():
            connection = self._opened()
            if self._is_spare and not self._is_free(connection, self._main_key):
                return False
            return bool(connection.scalar(select(func.pg_try_advisory_lock(self._key))))

    def was_last(self) -> bool:
        """Whether nobody took the lead since this process did.

        Raises:
            StoreError: The store cannot be used.
        """
        found = latest(self._store, self._lead.migration)
        return found is not None and found.token == self._lead.token

    def note(self) -> None:
        """Note that this process took the lead.

        Raises:
            StoreError: The store cannot be used.
        """
        with self._store.begin() as session:
            replace_in(session, LeadRow, [{
                "migration": self._lead.migration, "name": self._lead.name,
                "token": self._lead.token, "since": clock.now()}], ("migration",))

    def prove(self) -> bool:
        """Return whether the session with the lock is there, and may keep it.

        Raises:
            StoreError: The session has ended, and the lock with it.
        """
        with self._clear():
            connection = self._opened()
            connection.execute(select(1))
            return not self._is_spare or self._is_free(connection, self._main_key)

    def release(self) -> None:
        """End the session, and give the lock away."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                # now, and not when the server has noticed the end of the session
                connection.execute(select(func.pg_advisory_unlock_all()))
            with suppress(SQLAlchemyError):
                # not back to the pool: another one would be given a session with locks
                connection.invalidate()
                connection.close()

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """Turn every error of the session into one of the store, also that it is closed."""
        try:
            with clear_errors(self._store.engine.url):
                yield
        except SQLAlchemyError as error:
            raise StoreError(f"the session of the lead has ended: {error}") from error

    def _opened(self) -> Connection:
        if self._connection is None:
            opened = self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # at once: whoever is refused below gives it back by `release`
            self._connection = opened
            # before 14 there is no such setting: then only the end of a process gives the lead away
            with suppress(DBAPIError):
                opened.execute(text(f"SET idle_session_timeout = {SESSION_SECONDS * 1000}"))
            if not self._is_spare:
                opened.execute(select(func.pg_advisory_lock_shared(self._main_key)))
        return self._connection

    def _is_free(self, connection: Connection, key: int) -> bool:
        is_free = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
        if is_free:
            connection.execute(select(func.pg_advisory_unlock(key)))
        return is_free


def latest(store: Store, migration: str) -> Lead | None:
    """Return who took the lead last; None when nobody ever did."""
    with store.read() as session:
        row = session.get(LeadRow, migration)
        return to_record(Lead, row) if row is not None else None


def _key(words: str) -> int:
    """Return the number of a lock: PostgreSQL knows no other names for it."""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], signed=True)
