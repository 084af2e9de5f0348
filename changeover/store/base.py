"""What all tables share, and the way from their rows to records.

A table's rows stand beside its queries, one module per aggregate; `changeover.store.schema` names
all of them. Times are aware UTC datetimes, stored without a zone on SQLite and read back aware.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Integer,
    Select,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column

from changeover.store.engine import Store


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime that goes in aware and comes out aware, in UTC, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; hand UTC to the driver."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone was given to the store")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite numbers rows by itself only in a column that is called INTEGER
Id = Integer().with_variant(BigInteger(), "postgresql")
RowId = Annotated[int, mapped_column(Id, primary_key=True, autoincrement=True)]
"""A row's own number, given by the database."""
Name = Annotated[str, mapped_column(String(63))]
"""A name of a plan: of a migration, a segment, a suite, and so on."""
NameKey = Annotated[str, mapped_column(String(63), primary_key=True)]


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it from the class
        datetime: UtcDateTime(),
        str: Text(),
        dict[str, Any]: JSON(),
        list[dict[str, Any]]: JSON(),
        list[str]: JSON(),
    }


Record = TypeVar("Record")
Row = TypeVar("Row", bound=Base)


def to_record(kind: type[Record], row: Base, **replaced: Any) -> Record:
    """Return `row` as a frozen record of type `kind`; texts become the enumerations they stand for.

    Args:
        kind: A record class of `changeover.domain`.
        row: A row with an attribute for each of its fields.
        replaced: Fields whose value is not the row's own.
    """
    enumerations = _enumerations(kind)  # type: ignore[arg-type]
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        # not even read: some rows have no attribute of that name
        if field.name in replaced:
            continue
        value = getattr(row, field.name)
        if value is not None and field.name in enumerations:
            value = enumerations[field.name](value)
        values[field.name] = value
    return kind(**values, **replaced)


def all_records(store: Store, kind: type[Record], query: Select[Any]) -> list[Record]:
    """Return the rows that a query of a table finds, as records."""
    with store.read() as session:
        return [to_record(kind, row) for row in session.scalars(query)]


def first_record(store: Store, kind: type[Record], query: Select[Any]) -> Record | None:
    """Return the first row that a query of a table finds, as a record; None without any."""
    with store.read() as session:
        row = session.scalar(query.limit(1))
        return to_record(kind, row) if row else None


def to_row(kind: type[Row], record: Any) -> Row:
    """Return a new row of type `kind` with a record's fields; its id is made by the database."""
    values = {}
    for field in fields(record):
        value = getattr(record, field.name)
        values[field.name] = str(value) if isinstance(value, StrEnum) else value
    # id 0 means "not stored yet": the database gives the next one
    if not values.get("id"):
        values.pop("id", None)
    return kind(**values)


@cache
def _enumerations(kind: Any) -> dict[str, type[StrEnum]]:
    """Return the enumeration of each of a record's fields that is one, or may be."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        # `Answer
        # None` is seen as Answer and None; a plain type has no parts
        for each in get_args(hint) or (hint,):
            if isinstance(each, type) and issubclass(each, StrEnum):
                found[name] = each
    return found
