"""Opening the database: SQLite (WAL) or PostgreSQL, its schema version, and clear errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError
from sqlalchemy.orm import Session

from changeover import clock
from changeover.errors import ChangeoverError, StoreError, StoreLocked, WrongStoreVersion
from changeover.store.text import keeping_all

_MIGRATIONS = Path(__file__).with_name("migrations")
MOST_IN_ONE = 1000
"""Rows, or values of an IN, in one statement."""
T = TypeVar("T")
_LOCKED = ("database is locked", "lock timeout", "canceling statement due to lock", "deadlock")


class Store:
    """One database. Cheap to pass around; safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

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
        store = cls(keeping_all(_make_engine(url, timeout)))
        try:
            with _clear_errors(store.engine.url):
                if create:
                    store.upgrade()
                store.check_version()
        except ChangeoverError:
            store.close()
            raise
        return store

    @property
    def url(self) -> str:
        """The address with its password masked; safe to print."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; on SQLite it never waits for a writer."""
        with _clear_errors(self.engine.url), Session(self.engine) as session:
            yield session

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session in one write transaction, committed at the end of the block.

        On SQLite it takes the write lock at once (BEGIN IMMEDIATE), so that a transaction that
        reads first and then writes is never refused halfway.
        """
        writing = self.engine.execution_options(changeover_write=True)
        with (
            _clear_errors(self.engine.url),
            Session(writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            session.connection()  # takes the lock now, not at the first statement
            yield session

    def upgrade(self) -> None:
        """Bring the tables to this program's version; does nothing when they are."""
        from alembic import command  # a third of a second that only those who upgrade should pay
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.engine.connect().execution_options(changeover_write=True) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def check_version(self) -> None:
        """Raise WrongStoreVersion unless the tables are of this program's version."""
        with self.engine.connect() as connection:
            has_version = inspect(connection).has_table("alembic_version")
            query = text("SELECT version_num FROM alembic_version")
            found = connection.execute(query).scalar() if has_version else None
        wanted = head_revision()
        if found == wanted:
            return
        raise WrongStoreVersion(
            f"the store has schema version {found or 'none'}, this program needs {wanted}",
            where=self.url,
            next_step="Stop everything that uses it, make a backup, and run "
            "`changeover store upgrade`; a newer version needs a newer changeover",
        )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def head_revision() -> str:
    """Return the newest schema version that this program knows."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("0*.py"))


def _make_engine(url: str, timeout: float) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(
            "the store's address is not a database URL",
            allowed="sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, timeout)
    try:
        milliseconds = int(timeout * 1000)
        return create_engine(
            parsed,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(1, int(timeout)),
                "options": f"-c lock_timeout={milliseconds}",
            },
        )
    except ImportError:
        raise StoreError(
            "PostgreSQL's driver is not installed",
            next_step="Run `pip install 'changeover[postgres]'`",
        ) from None


def _sqlite_engine(url: URL, timeout: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": timeout, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see _begin
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("changeover_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _clear_errors(url: URL) -> Iterator[None]:
    """Turn the driver's errors into ours: one sentence and what to do."""
    where = url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        told = str(error.orig)
        if any(sign in told for sign in _LOCKED):
            raise StoreLocked(
                "the database stayed locked by another process", where=where,
                next_step="Find who holds it (`fuser FILE`, or pg_locks) and end that "
                "transaction; traffic stays as it is, and nothing was changed here",
            ) from error
        raise StoreError(
            f"the database cannot be used: {_one_line(told)}", where=where,
            next_step="Check that it is there, that the server runs and that it may be written",
        ) from error
    except DatabaseError as error:
        if _is_programming_fault(error):
            raise
        raise StoreError(
            f"this is not a usable database: {_one_line(str(error.orig))}", where=where,
            next_step="Give another one with --store URL, or restore it from a backup",
        ) from error


def _is_programming_fault(error: DBAPIError) -> bool:
    """Whether the program, not the database, is at fault; such errors keep their traceback."""
    from sqlalchemy.exc import DataError, IntegrityError, InternalError, ProgrammingError

    return isinstance(error, DataError | IntegrityError | InternalError | ProgrammingError)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def upsert_of(session: Session) -> Any:
    """Return the database's own `insert`, which knows `on_conflict_do_update`."""
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return parts of a list that one statement takes: both databases limit its parameters."""
    for start in range(0, len(values), MOST_IN_ONE):
        yield values[start : start + MOST_IN_ONE]


def time_of(session: Session) -> datetime:
    """Return the present moment of the database's server, on which all who use it agree.

    It moves on within a transaction. SQLite has no server: its time is this machine's.
    """
    if session.get_bind().dialect.name == "sqlite":
        return clock.now()
    found: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)
