"""One table as the comparison reads it: read-only, in one snapshot, by key ranges.

Everything that is SQL or depends on the kind of database is here; what counts as a difference is
in `consistency`. Names of tables and columns are quoted by SQLAlchemy, values are parameters.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from changeover.errors import InvalidInput
from changeover.tablediff.databases import (
    BY_CHARACTER,
    clear_errors,
    connect,
    make_engine,
    shown_url,
)
from changeover.tablediff.values import Kind, shown

BATCH = 1000  # rows held in memory for each side while they are fetched
_OLDEST_WITH_CHECKSUMS = (13,)  # trim_scale
_ORDERED_BY_CHARACTER = ("UTF8", "UTF-8", "LATIN1", "SQL_ASCII")
"""Encodings whose bytes are in the order of their characters' bytes in UTF-8."""
_PROBES = ["", "a", "Grüße, 世界 🌍", "(1,\"a \"\"b\"\"\",)", "x" * 1000]
# The first that fits: some of SQLAlchemy's types are subclasses of others.
_KINDS_OF_TYPES: list[tuple[type[Any], Kind]] = [
    (sa.Boolean, Kind.BOOLEAN), (sa.Integer, Kind.INTEGER), (sa.Float, Kind.FLOAT),
    (sa.Numeric, Kind.NUMBER), (sa.String, Kind.TEXT), (sa.Uuid, Kind.UUID), (sa.JSON, Kind.JSON),
    (sa.LargeBinary, Kind.BYTES), (sa.DateTime, Kind.TIMESTAMP), (sa.Date, Kind.DATE),
    (sa.Time, Kind.TIME),
]
_KINDS_OF_WORDS: list[tuple[str, Kind]] = [  # of a type declared in SQLite, where any word may be
    ("BOOL", Kind.BOOLEAN), ("UUID", Kind.UUID), ("JSON", Kind.JSON), ("INT", Kind.INTEGER),
    ("TIMESTAMP", Kind.TIMESTAMP), ("DATETIME", Kind.TIMESTAMP), ("DATE", Kind.DATE),
    ("TIME", Kind.TIME), ("CHAR", Kind.TEXT), ("TEXT", Kind.TEXT), ("CLOB", Kind.TEXT),
    ("BLOB", Kind.BYTES), ("BINARY", Kind.BYTES), ("BYTEA", Kind.BYTES), ("REAL", Kind.FLOAT),
    ("FLOA", Kind.FLOAT), ("DOUB", Kind.FLOAT), ("NUM", Kind.NUMBER), ("DEC", Kind.NUMBER),
]
_NATIVE = (Kind.INTEGER, Kind.NUMBER, Kind.FLOAT, Kind.BOOLEAN, Kind.BYTES)
_SHORT = (Kind.INTEGER, Kind.NUMBER, Kind.FLOAT, Kind.BOOLEAN, Kind.UUID, Kind.TIMESTAMP, Kind.DATE)
_MOST_IN_GROUP = 40  # a function takes at most 100 arguments, and here each column is two
_SQLITE_TEXT = functools.partial(str, encoding="utf-8", errors="surrogateescape")
"""SQLite checks no text: bytes that are no UTF-8 are compared as they are, like any others. Set
when the first such text is met: it is slower than the driver's own way."""
_UNDECODED = "Could not decode to UTF-8"


class _NotUtf8(Exception):
    """A text of SQLite is no UTF-8."""


@dataclass(frozen=True, slots=True)
class Span:
    """The keys from `low` on and before `high`; None: no bound on that side."""

    low: Any = None
    high: Any = None


@dataclass(frozen=True, slots=True)
class Checksum:
    """How many rows a range has, and the sum of their 64-bit checksums."""

    rows: int = 0
    total: int = 0


def place_of(key: Any) -> Any:
    """Return a key as all tables order it: numbers by value, texts by their bytes in UTF-8."""
    return key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key


class Table:
    """One table of one side, open in one read-only transaction."""

    def __init__(self, side: str, connection: Connection, name: str) -> None:
        self.side = side
        self.connection = connection
        self.is_postgres = connection.dialect.name == "postgresql"
        self.where = f"{side} {shown_url(connection.engine.url)} table {name}"
        with clear_errors(connection.engine.url):
            self._types, schema, self._is_unique_by = self._reflect(name)
        bare = name if schema is None else name.partition(".")[2]
        self._table = sa.table(bare, schema=schema)
        self.kinds = {column: self._kind(type_) for column, type_ in self._types.items()}
        self._encoding = self._encoding_of_server()
        self._key: sa.ColumnElement[Any] = sa.column("")
        self._order: sa.ColumnElement[Any] | None = None
        self._key_type: type[Any] = str

    def _reflect(self, name: str) -> tuple[dict[str, Any], str | None, set[str]]:
        """Return the columns' types, the schema and the columns that are unique."""
        inspector = sa.inspect(self.connection)
        schema, _, bare = name.rpartition(".")
        places = [(name, None), (bare, schema)] if schema else [(name, None)]
        for table, within in places:
            if inspector.has_table(table, schema=within):
                break
        else:
            raise InvalidInput(
                "there is no such table", where=self.where,
                next_step="Check the name, and whether the table needs its schema: schema.table")
        types: dict[str, Any] = {}
        for column in inspector.get_columns(table, within):
            types[column["name"]] = _without_domain(column["type"])
        # As declared: SQLAlchemy makes its own types of them, and of `UUID` a number.
        if not self.is_postgres:
            declared = sa.func.pragma_table_xinfo(table).table_valued("name", "type")
            query = sa.select(declared.c.name, declared.c.type)
            for found, type_ in self.connection.execute(query):
                if found in types:
                    types[found] = str(type_)
        unique = [inspector.get_pk_constraint(table, within)["constrained_columns"]]
        for constraint in inspector.get_unique_constraints(table, within):
            unique.append(constraint["column_names"])
        for index in inspector.get_indexes(table, within):
            # Only rows that an index is made of are unique by it.
            options = index.get("dialect_options", {})
            is_partial = any(option.endswith("where") for option in options)
            if index["unique"] and not is_partial:
                unique.append([str(column) for column in index["column_names"]])
        return types, within, {columns[0] for columns in unique if len(columns) == 1}

    def _kind(self, type_: Any) -> Kind:
        if isinstance(type_, str):
            for word, kind in _KINDS_OF_WORDS:
                if word in type_.upper():
                    return kind
            return Kind.OTHER
        for known, kind in _KINDS_OF_TYPES:
            if isinstance(type_, known):
                return kind
        return Kind.OTHER

    def _encoding_of_server(self) -> str:
        """Return in which encoding the database stores, and orders, its texts."""
        setting = "SHOW server_encoding" if self.is_postgres else "PRAGMA encoding"
        with clear_errors(self.connection.engine.url):
            return str(self.connection.exec_driver_sql(setting).scalar())

    def use_key(self, key: str, kind: Kind, *, is_native: bool) -> None:
        """Order and cut by this column; refused when it has NULLs or one value twice.

        Args:
            key: A column of the table.
            kind: INTEGER, TEXT or UUID, the same on both sides.
            is_native: Whether both sides order UUIDs themselves; otherwise they go as digits.
        """
        plain: sa.ColumnElement[Any] = sa.column(key)
        self._key_type = int if kind is Kind.INTEGER else str
        if kind is Kind.INTEGER:
            self._key = sa.column(key, sa.BigInteger())
        elif kind is Kind.UUID and is_native:
            self._key = sa.column(key, sa.Uuid(as_uuid=False))
        else:
            # Without a cast, where that is possible: an index serves only the column itself.
            is_plain = not self.is_postgres and kind is Kind.TEXT
            text: Any = sa.column(key, sa.Text()) if is_plain else sa.cast(plain, sa.Text)
            if kind is Kind.UUID:
                text = sa.func.lower(sa.func.replace(text, "-", ""), type_=sa.Text())
            is_by_character = self._encoding in _ORDERED_BY_CHARACTER
            of_sqlite = "BINARY" if is_by_character else BY_CHARACTER
            self._key = sa.collate(text, "C" if self.is_postgres else of_sqlite)
            if self.is_postgres and not is_by_character:
                self._order = sa.func.convert_to(text, "UTF8")
        self._check_key(key, plain)

    def _check_key(self, key: str, plain: sa.ColumnElement[Any]) -> None:
        next_step = "Give a key that is unique and never NULL"
        nulls = sa.select(plain).select_from(self._table).where(plain.is_(None)).limit(1)
        if self._execute(nulls):
            raise InvalidInput(
                f"the key {key} is NULL in at least one row", where=self.where,
                next_step=next_step)
        if key in self._is_unique_by:
            return
        # By the key as it is compared: a column's own collation may call A and a the same.
        twice = (sa.select(self._key).select_from(self._table).group_by(self._key)
                 .having(sa.func.count() > 1).limit(1))
        for row in self._execute(twice):
            raise self.not_unique(row[0])

    def not_unique(self, key: object) -> InvalidInput:
        """Return the refusal of a key that is there twice."""
        return InvalidInput(
            f"the key {shown(key)[:200]!r} is there more than once", where=self.where,
            next_step="Give a key that is unique")

    def _disordered(self, key: object) -> InvalidInput:
        return InvalidInput(
            f"the key {shown(key)[:200]!r} comes out of order: the database orders its texts by "
            f"{self._encoding}", where=self.where,
            next_step="Give a key of whole numbers or UUIDs")

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._execute(sa.select(sa.func.count()).select_from(self._table))[0][0])

    def may_checksum(self) -> tuple[object, ...]:
        """Return what must be equal on both sides for checksums to mean the same; () for never.

        The hash function's results are compared instead of trusting versions: they also
        depend on the byte order of the machine and on the database's encoding.
        """
        version = self.connection.dialect.server_version_info or ()
        if not self.is_postgres or self._encoding != "UTF8" or version < _OLDEST_WITH_CHECKSUMS:
            return ()
        probes = [_hash(sa.literal(probe, sa.Text())) for probe in _PROBES]
        return tuple(self._execute(sa.select(*probes))[0])

    def sample(self, span: Span, one_in: int) -> list[Any]:
        """Return about one of `one_in` keys of the range, in order, always the same ones."""
        chosen = _hash(sa.cast(self._key, sa.Text)) % one_in == 0
        query = self._select([self._key], span).where(chosen).order_by(self._key)
        return [row[0] for row in self._execute(query)]

    def checksums(
        self, columns: Sequence[str], span: Span, bounds: list[Any]
    ) -> dict[int, Checksum]:
        """Return the checksum of each range between the bounds, 0 being before the first.

        One pass over the span, computed in the database; the order of the rows does not matter.
        """
        type_ = postgresql.ARRAY(self._key.type)
        number = sa.func.width_bucket(self._key, sa.cast(sa.literal(bounds, type_), type_))
        total = sa.func.sum(self._checksum(columns))
        query = self._select([number.label("number"), sa.func.count(), total], span)
        checksums = {}
        for found, rows, sums in self._execute(query.group_by("number")):
            checksums[found] = Checksum(rows, int(sums))
        return checksums

    def _checksum(self, columns: Sequence[str]) -> sa.ColumnElement[int]:
        """Return the checksum of one row: hashes of its parts, each seeded by key and part.

        Only texts are hashed: PostgreSQL's own hashes of numbers are made for hash tables and
        take -5 for 5 and -1 for 4294967295. Short values without a `|` in their text share one
        hash, with their NULLs distinguished behind them; every other column has its own, so that no
        delimiter is needed. A record's text would need neither and takes half as long again.
        """
        short = [column for column in columns if self.kinds[column] in _SHORT]
        parts: list[sa.ColumnElement[Any]] = []
        # At least once, also without short columns: the key itself has to be in the checksum.
        for first in range(0, max(1, len(short)), _MOST_IN_GROUP):
            group = short[first:first + _MOST_IN_GROUP]
            values = [self._short_form(column) for column in group]
            nulls = [sa.column(column).is_(None) for column in group]
            delimiter = sa.literal("|", sa.Text())
            parts.append(sa.func.concat_ws(delimiter, self._key, *values, *nulls))
        for column in columns:
            if column not in short:
                parts.append(sa.cast(sa.column(column), sa.Text))
        hashes = []
        for number, part in enumerate(parts):
            # NULL's hash is NULL, and would make the whole row's checksum NULL.
            hashes.append(sa.func.coalesce(_hash(part, self._seed(number)), 0))
        return functools.reduce(lambda one, other: one.bitwise_xor(other), hashes)

    def _seed(self, number: int) -> sa.ColumnElement[int]:
        """Return 64 bits that depend on the row's key and the number of the part."""
        digest = hashlib.sha256(str(number).encode()).digest()
        own = sa.literal(int.from_bytes(digest[:8], "big", signed=True), sa.BigInteger())
        if self._key_type is int:
            return sa.cast(self._key, sa.BigInteger).bitwise_xor(own)
        return _hash(sa.cast(self._key, sa.Text), own)

    def _short_form(self, column: str) -> sa.ColumnElement[Any]:
        """Return the column so that equal values have equal texts in two PostgreSQL databases."""
        plain: sa.ColumnElement[Any] = sa.column(column)
        if self.kinds[column] is Kind.NUMBER:
            return sa.func.trim_scale(plain)
        # Eight bytes, in UTC; faster than the text.
        if self.kinds[column] is Kind.TIMESTAMP:
            has_zone = getattr(self._types[column], "timezone", False)
            return sa.func.timestamptz_send(plain) if has_zone else sa.func.timestamp_send(plain)
        return plain

    def rows(
        self, columns: Sequence[str], span: Span
    ) -> Generator[tuple[Any, ...], None, None]:
        """Yield key and values of the range in key order, holding one batch in memory.

        Raises:
            InvalidInput: A key is of another type than its column, or is there twice.
        """
        values = [self._fetched_form(column) for column in columns]
        order = self._key if self._order is None else self._order
        last: Any = None
        while True:
            query = self._select([self._key.label("key"), *values], span).order_by(order)
            try:
                with self._read_errors(), self.connection.execute(
                    query, execution_options={"yield_per": BATCH}
                ) as result:
                    for row in result:
                        key = row[0]
                        is_typed = type(key) is self._key_type
                        if not is_typed or (last is not None and key <= last):
                            # Where reading goes on, this row was yielded already.
                            if key == last and span.low == last:
                                continue
                            self._check_order(key, last)
                        last = key
                        yield tuple(row)
                return
            # Read on from the last row, in the careful way from now on.
            except _NotUtf8:
                span = Span(span.low if last is None else last, span.high)

    def _check_order(self, key: Any, last: Any) -> None:
        """Refuse a key of another type than its column, or one that comes out of order."""
        if type(key) is not self._key_type:
            raise InvalidInput(
                f"the key {shown(key)[:200]!r} is of type {type(key).__name__}",
                where=self.where, allowed=self._key_type.__name__)
        if key == last:
            raise self.not_unique(key)
        if place_of(key) < place_of(last):
            raise self._disordered(key)

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        """Distinguish a text of SQLite that is no UTF-8 from a database that cannot be read."""
        with clear_errors(self.connection.engine.url):
            try:
                yield
            except sa.exc.OperationalError as error:
                raw: Any = self.connection.connection.driver_connection
                if _UNDECODED not in str(error.orig) or raw.text_factory is _SQLITE_TEXT:
                    raise
                raw.text_factory = _SQLITE_TEXT
                raise _NotUtf8 from None

    def _select(self, what: Sequence[Any], span: Span) -> sa.Select[Any]:
        query = sa.select(*what).select_from(self._table)
        if span.low is not None:
            query = query.where(self._key >= span.low)
        if span.high is not None:
            query = query.where(self._key < span.high)
        return query

    def _fetched_form(self, column: str) -> sa.ColumnElement[Any]:
        """Return the column as it is fetched: as text where the driver has no safe type."""
        if not self.is_postgres:
            return sa.column(column)
        plain: sa.ColumnElement[Any] = sa.column(column)
        return plain if self.kinds[column] in _NATIVE else sa.cast(plain, sa.Text)

    def _execute(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        try:
            with self._read_errors():
                return self.connection.execute(query).all()
        except _NotUtf8:
            return self._execute(query)


def _hash(
    text: sa.ColumnElement[Any], seed: sa.ColumnElement[int] | None = None
) -> sa.ColumnElement[int]:
    """Return a 64-bit hash of a text; of its bytes, because the collation is C."""
    start = sa.literal(0, sa.BigInteger()) if seed is None else seed
    plain = sa.collate(text, "C")
    found = sa.func.hashtextextended(plain, start, type_=sa.BigInteger())
    return cast("sa.ColumnElement[int]", found)


def _without_domain(type_: Any) -> Any:
    while isinstance(type_, postgresql.DOMAIN):
        type_ = type_.data_type
    return type_


@contextmanager
def open_table(side: str, url: str, table: str) -> Iterator[Table]:
    """Open one side in a read-only transaction that sees one snapshot until the block ends.

    Raises:
        InvalidInput: The address is none of SQLite or PostgreSQL, or there is no such table.
        Unreachable: The server does not answer, or refuses the user.
        StoreError: The file is not there or is not a database.
    """
    engine = make_engine(side, url)
    try:
        with connect(engine) as connection:
            yield Table(side, connection, table)
    finally:
        engine.dispose()
