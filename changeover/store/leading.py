"""Which observer of a migration leads: a lock of PostgreSQL, and the row of who had it last.

The lock belongs to a session, so it ends with the process that has it. A process that stands still
does not say anything on its session, and the server ends that after `SESSION_SECONDS`.

The main machine's observer comes first: it has the users' main gateway. While it is there it holds
a second lock, with others of its machine, and an observer of another machine neither takes the
lead nor keeps it. Whoever asks whether it is there looks at the server's list of locks: taking a
lock for a moment would look to another one as if the main observer were there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    NullPool,
    String,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from changeover import clock
from changeover.errors import StoreError
from changeover.store.base import Base, NameKey, to_record
from changeover.store.clear_errors import clear_errors
from changeover.store.engine import Store
from changeover.store.lock_numbers import lock_number
from changeover.store.upserts import replace_in

SESSION_SECONDS = 2.5
"""The server ends a session that said nothing for so long (PostgreSQL 14 or later)."""
_SESSION_MILLISECONDS = round(SESSION_SECONDS * 1000)
IDLE_SECONDS = 10
"""So long a transaction of a leader may stand still, however busy its machine is."""
_SESSION = (
    f"SET idle_session_timeout = {_SESSION_MILLISECONDS}",
    # for what is older than 14: the end of a machine, if not of a process that stands still
    "SET tcp_keepalives_idle = 1", "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 2", f"SET tcp_user_timeout = {_SESSION_MILLISECONDS}",
)
_ANSWERS_WITHIN = {
    "connect_timeout": 2, "tcp_user_timeout": 2000, "keepalives": 1, "keepalives_idle": 1,
    "keepalives_interval": 1, "keepalives_count": 2}
"""Whatever the store's address says: a proof that hangs proves nothing."""
_OWN = text("SELECT current_setting('changeover.lead', true)")
_HOLDERS = text("""
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = :high AND objid::bigint = :low
  AND (:is_own = 0 OR pid = pg_backend_pid())
""")


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
        self._key = lock_number(f"changeover observer {lead.migration}")
        self._main_key = lock_number(f"changeover main observer {lead.migration}")
        self._mark = ""

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
            self._require_own(connection)
            if self._is_spare and self._holders(connection, self._main_key):
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
            self._require_own(connection)
            if not self._holders(connection, self._key, is_own=True):
                raise StoreError("the session of the lead has lost its lock")
            return not self._is_spare or not self._holders(connection, self._main_key)

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
            own = create_engine(
                self._store.engine.url, poolclass=NullPool, hide_parameters=True,
                connect_args=_ANSWERS_WITHIN)
            # at once: whoever is refused below gives it back by `release`
            self._connection = own.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._begin(self._connection)
        return self._connection

    def _begin(self, opened: Connection) -> None:
        """Make the session one that ends early, and note that it is this process's own."""
        for setting in _SESSION:
            # one that this server does not know
            with suppress(DBAPIError):
                opened.execute(text(setting))
        self._mark = secrets.token_hex(16)
        opened.execute(select(func.set_config("changeover.lead", self._mark, False)))
        self._require_own(opened)
        if not self._is_spare:
            opened.execute(select(func.pg_advisory_lock_shared(self._main_key)))

    def _require_own(self, connection: Connection) -> None:
        """Refuse a session that others use, too: all of them would have its locks."""
        if connection.scalar(_OWN) != self._mark:
            raise StoreError(
                "the lead is not kept because the store's address is that of a pool that gives "
                "each statement another session",
                next_step="Give the observer the address of the database itself, or of a pool by "
                "sessions")

    def _holders(self, connection: Connection, key: int, *, is_own: bool = False) -> int:
        """Return how many sessions have a lock; of all, or whether this one has."""
        bits = key & 0xFFFF_FFFF_FFFF_FFFF
        return int(connection.scalar(_HOLDERS, {
            "high": bits >> 32, "low": bits & 0xFFFF_FFFF, "is_own": int(is_own)}) or 0)


def end_idle_transactions(store: Store) -> None:
    """Have the server end what a process left open that stands still: others wait for its locks.

    Args:
        store: The store of a process that leads, on PostgreSQL.
    """
    @event.listens_for(store.engine, "connect")
    def _limit(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}")
        connection.commit()

    # those that are open already have no such limit
    store.engine.dispose()


def latest(store: Store, migration: str) -> Lead | None:
    """Return who took the lead last; None when nobody ever did."""
    with store.read() as session:
        row = session.get(LeadRow, migration)
        return to_record(Lead, row) if row is not None else None
