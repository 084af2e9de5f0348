"""The databases of a table comparison: opened read-only, one snapshot, no passwords in errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from changeover.errors import InvalidInput, StoreError, Unreachable

BY_CHARACTER = "changeover_by_character"
"""Collation of SQLite databases whose own order of texts is another one."""
_CONNECT_SECONDS = 10
# One text for one value, whatever the server's defaults are.
_SETTINGS = {
    "timezone": "UTC", "datestyle": "ISO, YMD", "intervalstyle": "postgres",
    "bytea_output": "hex", "extra_float_digits": "1",
}


def make_engine(side: str, url: str) -> Engine:
    """Return an engine for one side's address; it connects to nothing yet.

    Raises:
        InvalidInput: The address is none of SQLite or PostgreSQL.
        StoreError: PostgreSQL's driver is not installed.
    """
    allowed = "sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        what = f"the {side}'s address is not a database URL"
        raise InvalidInput(what, allowed=allowed) from None
    if backend == "postgresql":
        options = {"connect_timeout": _CONNECT_SECONDS, "client_encoding": "UTF8"}
        try:
            # REPEATABLE READ is what makes one snapshot of a transaction.
            return sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"), connect_args=options,
                isolation_level="REPEATABLE READ", poolclass=sa.NullPool)
        except ImportError:
            raise StoreError(
                "PostgreSQL's driver is not installed",
                next_step="Run `pip install 'changeover[postgres]'`") from None
    if backend == "sqlite":
        return _sqlite_engine(parsed)
    raise InvalidInput(f"the {side} is a {backend} database", where=shown_url(parsed),
                       allowed=allowed)


def _sqlite_engine(url: URL) -> Engine:
    # A file that is not there is an error and not a new, empty database.
    path = url.database or ":memory:"
    is_file = path != ":memory:" and not path.startswith("file:")
    uri = f"{Path(path).absolute().as_uri()}?mode=ro" if is_file else path

    def open_file() -> sqlite3.Connection:
        # Opened here, read in a thread: both sides are asked at once, each by one thread at a time.
        found = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        found.create_collation(BY_CHARACTER, lambda one, other: (one > other) - (one < other))
        return found

    return sa.create_engine(
        url.set(drivername="sqlite"), poolclass=sa.NullPool, creator=open_file)


@contextmanager
def connect(engine: Engine) -> Iterator[Connection]:
    """Connect, in a read-only transaction that sees one snapshot until the block ends.

    Raises:
        Unreachable: The server does not answer, or refuses the user.
        StoreError: The database cannot be read.
    """
    is_postgres = engine.dialect.name == "postgresql"
    with clear_errors(engine.url, is_connecting=is_postgres):
        connection = engine.connect()
    with connection:
        with clear_errors(engine.url):
            if is_postgres:
                connection.execution_options(postgresql_readonly=True)
                for name, value in _SETTINGS.items():
                    connection.execute(sa.select(sa.func.set_config(name, value, True)))
                _take_any_bytes(connection)
            else:
                connection.exec_driver_sql("BEGIN")
        yield connection


def _take_any_bytes(connection: Connection) -> None:
    """Have texts of a database that checks none (SQL_ASCII) read as the bytes that they are.

    As LATIN1 the server hands them on unchecked; as UTF8 it would refuse the row.
    """
    raw: Any = connection.connection.driver_connection
    if raw.info.parameter_status("server_encoding") == "SQL_ASCII":
        # The driver is there only where it is installed.
        from psycopg.adapt import Loader

        class AnyText(Loader):
            def load(self, data: Any) -> str:
                return bytes(data).decode("utf-8", "surrogateescape")

        connection.execute(sa.select(sa.func.set_config("client_encoding", "LATIN1", False)))
        for name in ("text", "varchar", "bpchar", "name"):
            raw.adapters.register_loader(name, AnyText)


@contextmanager
def clear_errors(url: URL, *, is_connecting: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours, which never show a password."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        for secret in (url.password, url.query.get("password")):
            reason = reason.replace(str(secret), "***") if secret else reason
        where = shown_url(url)
        if is_connecting:
            raise Unreachable(
                f"the database does not answer: {reason}", where=where,
                next_step="Check the address, that the server runs, and that the user may read it",
            ) from None
        raise StoreError(
            f"the database cannot be read: {reason}", where=where,
            next_step="Check that the table can be read whole: the reason is its own",
        ) from None


def shown_url(url: URL) -> str:
    """Return the address without its password and without options, where one may be as well."""
    return url.set(query={}).render_as_string(hide_password=True)
