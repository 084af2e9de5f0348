"""Opening the database: SQLite (WAL) or PostgreSQL, its schema version, its transactions.

Write transactions begin here and nowhere else. On SQLite they wait in line (`write_queue`); one
that says nothing is on the disk when it returns; measurements are not waited for (`is_durable`).
The write-ahead log is copied into the database by the observer, at quiet times (`checkpoint`): a
writer does so itself only when the log has become very long.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, configure_mappers

from changeover import clock
from changeover.errors import ChangeoverError, StoreError, WrongStoreVersion
from changeover.store import turns
from changeover.store.clear_errors import blocker_of, clear_errors, stayed_locked
from changeover.store.text import accept_all_text
from changeover.store.write_queue import LineTimeout, WriteQueue

_MIGRATIONS = Path(__file__).with_name("migrations")
LOG_PAGES = 16_000
"""Pages (64 MB) of the write-ahead log after which a writer copies them itself."""
LOG_BYTES = LOG_PAGES * 4096
ANSWERS_WITHIN = {
    "tcp_user_timeout": "2000", "keepalives_idle": "1", "keepalives_interval": "1",
    "keepalives_count": "2"}
"""A database whose machine is gone is noticed within seconds, not after a quarter of an hour. What
the store's address says itself counts instead."""
ESCAPING = "In a password write / as %2F, @ as %40, : as %3A and % as %25"
_BEFORE_RELEASE = re.compile(r"00\d\d")
"""Schema versions of before the first release: `r001` replaced all of them."""
_WAS_OPENED = "changeover_was_opened"


class Store:
    """One database. Cheap to pass around; safe to use from several threads."""

    def __init__(self, engine: Engine, *, timeout: float = 5.0) -> None:
        self.engine, self.timeout = engine, timeout
        self.fence: Callable[[], None] = lambda: None
        """Asked before each transaction that writes and at its end; raises when its caller must
        not: a process may have stood still in between."""
        self._queue = _queue_of(engine)

    @classmethod
    def open(cls, url: str, *, create: bool = False, timeout: float = 5.0) -> Store:
        """Return the store at `url`, checked to be of this program's version.

        Args:
            url: `sqlite:///path` or `postgresql+psycopg://user:password@host/name`.
            create: Make the database's tables, or bring older ones up to date.
            timeout: Longest wait for another writer, in seconds.

        Raises:
            StoreLocked: Another process held the database longer than `timeout`.
            WrongStoreVersion: The schema is older or newer than this program's.
            StoreError: It cannot be opened at all.
        """
        store = cls(accept_all_text(_make_engine(url, timeout)), timeout=timeout)
        configure_mappers()  # now, and not in the first transaction, for which others wait
        try:
            with clear_errors(store.engine.url):
                if create:
                    store.upgrade()
                store.check_version()
        except ChangeoverError:
            store.close()
            raise
        store.engine.update_execution_options(**{_WAS_OPENED: True})
        return store

    @property
    def url(self) -> str:
        """The address with its password masked; safe to print."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading: all that it reads is of one moment, and it waits for no writer."""
        with clear_errors(self.engine.url), Session(self._reading) as session:
            yield session

    @property
    def _reading(self) -> Engine:
        # by itself PostgreSQL gives each statement a moment of its own, SQLite does not
        if self.engine.dialect.name == "postgresql":
            return self.engine.execution_options(isolation_level="REPEATABLE READ")
        return self.engine

    @contextmanager
    def begin(self, *, is_durable: bool = True) -> Iterator[Session]:
        """A session in one write transaction, committed at the end of the block.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so that a transaction that
        reads first and then writes is never refused halfway. Compute before the block, not in it:
        everybody else waits.

        Args:
            is_durable: Whether it must survive a power failure of the machine, or a crash of
                PostgreSQL, from the moment it returns. Measurements and signs of life need not: the
                newest second of them may be lost then, and never a part of a transaction.
        """
        self.fence()
        operation = turns.operation_of_caller()
        writing = self.engine.execution_options(
            changeover_write=True, changeover_durable=is_durable)
        with (
            self._turn(operation) as turn,
            clear_errors(self.engine.url, self._writer),
            Session(writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            session.connection()  # takes the lock now, not at the first statement
            turn.has_begun()
            yield session
            # what was only added is written before that question, and not after it
            session.flush()
            self.fence()

    @contextmanager
    def _turn(self, operation: str, *, is_new: bool = False) -> Iterator[turns.Turn]:
        """Wait in line where there is one, and note how long that and the transaction took."""
        with turns.noted(operation) as turn, ExitStack() as stack:
            if self._queue is not None:
                if not is_new:
                    self._require_file(self._queue.database)
                try:
                    stack.enter_context(self._queue.turn(operation, self.timeout))
                except LineTimeout as error:
                    raise stayed_locked(self.engine.url, self._writer()) from error
            yield turn

    def _require_file(self, database: Path) -> None:
        """Raise StoreError when the file was taken away: SQLite would write on, to nowhere."""
        if not database.exists():
            raise StoreError(
                "the database's file is not there", where=self.url,
                next_step="Restore it from a backup, or give another one with --store URL")

    def _writer(self) -> str:
        """Return who writes while others wait; empty when nobody knows."""
        return self._queue.writer() if self._queue else blocker_of(self.engine)

    def upgrade(self) -> None:
        """Bring the tables to this program's version; does nothing when they are."""
        from alembic import command  # a third of a second that only those who upgrade should pay
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        writing = {"changeover_write": True, "changeover_durable": True}
        with self._turn("store.upgrade", is_new=True) as turn, \
                self.engine.connect().execution_options(**writing) as connection:
            turn.has_begun()
            self._require_known(_version_of(connection))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def checkpoint(self) -> int:
        """Copy the write-ahead log into the database; return the pages that are left.

        Nobody waits for it: pages that are still read stay for the next time. PostgreSQL does this
        itself.
        """
        if self._queue is None:
            return 0
        with clear_errors(self.engine.url, self._writer):
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
                _, pages, copied = cursor.fetchone() or (0, 0, 0)
                cursor.close()
            finally:
                connection.close()
        return max(0, int(pages) - int(copied))

    def check_version(self) -> None:
        """Raise WrongStoreVersion unless the tables are of this program's version."""
        with self.engine.connect() as connection:
            found = _version_of(connection)
        self._require_known(found)
        if found != head_revision():
            raise self._wrong_version(
                found, "Stop everything that uses it, make a backup, and run "
                "`changeover store upgrade`")

    def _require_known(self, found: str | None) -> None:
        """Raise WrongStoreVersion when no upgrade leads from a schema version to this one."""
        if found is None or found in _revisions():
            return
        if _BEFORE_RELEASE.fullmatch(found):
            raise self._wrong_version(
                found, "That version was never released and cannot be upgraded. End its cutover "
                "with the program that made it, then move the database away: the next "
                "`changeover up` makes a new one")
        raise self._wrong_version(
            found, "A newer changeover made it: use that one, or restore a backup from before")

    def _wrong_version(self, found: str | None, next_step: str) -> WrongStoreVersion:
        return WrongStoreVersion(
            f"the store has schema version {found or 'none'}, this program needs "
            f"{head_revision()}", where=self.url, next_step=next_step)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def head_revision() -> str:
    """Return the newest schema version that this program knows."""
    return max(_revisions())


def _revisions() -> set[str]:
    """Return all schema versions that this program knows."""
    files = (_MIGRATIONS / "versions").glob("r[0-9]*.py")
    return {path.name.partition("_")[0] for path in files}


def _version_of(connection: Connection) -> str | None:
    """Return a database's schema version; None when it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _make_engine(url: str, timeout: float) -> Engine:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    # ValueError: a password with `/` is taken for a port, and would be in the message
    except (ArgumentError, ValueError):
        raise StoreError(
            "the store's address is not a database URL, or of an unknown driver",
            allowed="sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
            next_step=ESCAPING,
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, timeout)
    return _postgres_engine(parsed, timeout)


def _postgres_engine(url: URL, timeout: float) -> Engine:
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            # an error is logged and traced: users' keys have no place there
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(1, int(timeout)),
                **{name: value for name, value in ANSWERS_WITHIN.items() if name not in url.query},
                "options": f"-c lock_timeout={int(timeout * 1000)}",
                "application_name": f"{turns.role()} (process {os.getpid()})"[:63],
            },
        )
    except ImportError:
        raise StoreError(
            "PostgreSQL's driver is not installed",
            next_step="Run `pip install 'changeover[postgres]'`",
        ) from None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("changeover_write", False) and not options.get("changeover_durable", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

    return engine


def _sqlite_engine(url: URL, timeout: float) -> Engine:
    engine = create_engine(
        url, hide_parameters=True,
        connect_args={"timeout": timeout, "check_same_thread": False})

    @event.listens_for(engine, "do_connect")
    def _refuse_to_make(_dialect: Any, record: Any, _words: Any, _named: Any) -> None:
        # SQLite makes an empty file where one was taken away, and deletes the log of that one
        if _WAS_OPENED in engine.get_execution_options() and not Path(url.database or "").exists():
            raise sqlite3.OperationalError("the database's file is not there")

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see _begin
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
            f"wal_autocheckpoint={LOG_PAGES}", f"journal_size_limit={LOG_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        record.info["is_durable"] = True

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if not options.get("changeover_write", False):
            connection.exec_driver_sql("BEGIN")
            return
        is_durable = options.get("changeover_durable", True)
        if connection.info.get("is_durable") != is_durable:  # not possible within a transaction
            level = "FULL" if is_durable else "NORMAL"
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
            connection.info["is_durable"] = is_durable
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _queue_of(engine: Engine) -> WriteQueue | None:
    """Return the line of a SQLite file; PostgreSQL has writers wait by itself."""
    path = engine.url.database
    if engine.url.get_backend_name() != "sqlite" or not path or path == ":memory:":
        return None
    return WriteQueue(Path(path), turns.role())


def time_of(session: Session) -> datetime:
    """Return the present moment of the database's server, on which all who use it agree.

    It moves on within a transaction. SQLite has no server: its time is this machine's.
    """
    if session.get_bind().dialect.name == "sqlite":
        return clock.now()
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)
