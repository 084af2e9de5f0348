"""Rows that may exist already: inserted, or else replaced, added to, or left as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")

MOST_IN_ONE = 1000
"""Rows, or values of an IN, in one statement."""


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return parts of a list that one statement takes: both databases limit its parameters."""
    for start in range(0, len(values), MOST_IN_ONE):
        yield values[start : start + MOST_IN_ONE]


def upsert_of(session: Session) -> Any:
    """Return the database's own `insert`, which knows `on_conflict_do_update`."""
    # one of the two only: reading both dialects takes a tenth of a command's start
    if session.get_bind().dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def replace_in(
    session: Session, table: Any, values: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows; one whose key exists already is replaced.

    Args:
        session: An open write transaction.
        table: The rows' table or class.
        values: The rows, all with the same columns.
        key: The columns that make a row the same row.
    """
    for part in chunks(values):
        statement = upsert_of(session)(table).values(part)
        new = statement.excluded
        others = {name: new[name] for name in part[0] if name not in key}
        session.execute(
            statement.on_conflict_do_update(index_elements=key, set_=others))


def add_in(
    session: Session, row: Any, values: Sequence[Mapping[str, Any]], *,
    key: Sequence[str], numbers: Sequence[str],
) -> None:
    """Insert rows; where one of the same key exists, its numbers grow by the new row's.

    Args:
        session: An open write transaction.
        row: The rows' class.
        values: The rows.
        key: The columns that make a row the same row.
        numbers: The columns that are added up.
    """
    for part in chunks(values):
        statement = upsert_of(session)(row).values(part)
        # added by the database, not read before: two writers then lose nothing of each other
        new = statement.excluded
        sums = {name: getattr(row, name) + new[name] for name in numbers}
        session.execute(
            statement.on_conflict_do_update(index_elements=key, set_=sums))
