"""Asking a database: one row, read-only, within a time, every placeholder a bound value."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from changeover.plan.sources import SqlMetric, SqlSource
from changeover.sources import filling
from changeover.sources.answer import Answer, NoAnswer
from changeover.sources.filling import Bound, Values
from changeover.sources.limits import within
from changeover.sources.secrets import read_variable

LONGER_SECONDS = 0.5
"""A database ends a query so much later than we give it up: one of the two says it."""


class Database:
    """A database that SQLAlchemy knows.

    Args:
        source: As the plan has it.
        folder: The folder that a SQLite file is relative to.
    """

    def __init__(self, source: SqlSource, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._seconds = source.timeout.total_seconds()

    def query(self, metric: SqlMetric, values: Values) -> str:
        """Return what is asked, and the values that are bound."""
        bound = filling.sql(metric.query, values).values
        listed = ", ".join(f"{{{name}}} = {value!r}" for name, value in sorted(bound.items()))
        return " ".join(metric.query.split()) + (f" with {listed}" if listed else "")

    def ask(self, metric: SqlMetric, values: Values) -> Answer:
        """Ask for a row, and return what stands in the metric's columns."""
        url = self._url()
        key = str(self._source.env or self._source.url)
        names, row = within(
            self._seconds, key, lambda: self._row(url, filling.sql(metric.query, values)))
        return Answer(*(_column(names, row, name, default) for name, default in (
            (metric.value, 0), (metric.samples, None), (metric.at, None))))

    def _url(self) -> URL:
        text = self._source.url or read_variable(str(self._source.env))
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise NoAnswer(f"what the variable {self._source.env} has is no database URL") from None
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return url

    def _row(self, url: URL, statement: Bound) -> tuple[Sequence[str], Sequence[Any]]:
        try:
            engine = self._engine(url)
        except (ImportError, NoSuchModuleError):
            raise NoAnswer(f"the driver of {url.drivername} is not installed here") from None
        try:
            with engine.connect() as connection:
                return _read_row(connection, statement)
        except SQLAlchemyError as error:
            raise _failed(error) from None
        finally:
            engine.dispose()

    def _engine(self, url: URL) -> Engine:
        backend = url.get_backend_name()
        if backend == "sqlite":
            return sa.create_engine(
                url, poolclass=sa.NullPool, creator=lambda: self._sqlite(url))
        if backend != "postgresql":
            return sa.create_engine(url, poolclass=sa.NullPool)
        milliseconds = int((self._seconds + LONGER_SECONDS) * 1000)
        arguments: dict[str, Any] = {"connect_timeout": max(2, int(self._seconds))}
        if url.get_driver_name() == "psycopg":
            # a long answer to a question that was given up must not burden the server
            arguments["options"] = f"-c statement_timeout={milliseconds}"
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args=arguments)

    def _sqlite(self, url: URL) -> sqlite3.Connection:
        """Open a SQLite file that is there, for reading, with an end to every query."""
        # SQLite would make a missing file, and call the new one empty
        path = self._folder / (url.database or "")
        deadline = time.monotonic() + self._seconds + LONGER_SECONDS
        found = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=self._seconds,
            check_same_thread=False)
        found.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        return found


def _read_row(
    connection: Connection, statement: Bound
) -> tuple[Sequence[str], Sequence[Any]]:
    """Return the names and values of the only row."""
    # a cursor at the server: the rest of a large table is never sent
    connection = connection.execution_options(stream_results=True)
    if connection.dialect.name == "postgresql":
        connection = connection.execution_options(postgresql_readonly=True)
    result = connection.execute(sa.text(statement.text), statement.values)
    names, rows = list(result.keys()), result.fetchmany(2)
    connection.rollback()  # whatever it did, it stays as it was
    if not rows:
        raise NoAnswer("the query finds no row")
    if len(rows) > 1:
        raise NoAnswer("the query finds several rows; it must find one, such as by count(*) or "
                       "avg(…)")
    return names, rows[0]


def _column(
    names: Sequence[str], row: Sequence[Any], name: str | None, default: int | None
) -> object:
    if name is None:
        return None if default is None else row[default]
    if name not in names:
        raise NoAnswer(f"the row has no column {name!r}; it has {', '.join(names)}")
    return row[list(names).index(name)]


def _failed(error: SQLAlchemyError) -> NoAnswer:
    """Return what a database said of a query; the statement and its values are left out."""
    said = getattr(error, "orig", None) or error
    text = " ".join(str(said).split())[:200]
    # a statement that is wrong is wrong again
    is_passing = not isinstance(error, sa.exc.ProgrammingError)
    return NoAnswer(f"the database says: {text}", is_passing=is_passing)
