"""Comparing tables of two real databases: what is found, what is equal, what is refused."""

from __future__ import annotations

import itertools
import math
import sqlite3
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine, make_url

from changeover.errors import ChangeoverError, InvalidInput, StoreError, Unreachable
from changeover.tablediff.consistency import Change, Columns, TableRef, compare_tables
from changeover.tablediff.values import RULES, Kind
from tests.core.validation.test_values import short
from tests.store.conftest import postgres_url

__all__ = ["postgres_url"]  # the fixture: one server for the tests that want one
pytestmark = pytest.mark.integration
BY_ID = Columns("id")
Make = Callable[..., TableRef]
PAIRS = [
    pytest.param(("sqlite", "sqlite"), id="sqlite"),
    pytest.param(("postgres", "postgres"), id="postgres", marks=pytest.mark.postgres),
    pytest.param(("sqlite", "postgres"), id="mixed", marks=pytest.mark.postgres),
]
NAMES = "id integer primary key, name text"
MANY = 12_000  # enough for several ranges
_numbers = itertools.count(1)


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a table: `make("postgres", "id integer primary key", [{"id": 1}])`."""
    def table(kind: str, columns: str, rows: Iterable[dict[str, Any]] = ()) -> TableRef:
        name = f'"T {next(_numbers)}"'
        url = (f"sqlite:///{tmp_path / f'data {next(_numbers)}.db'}" if kind == "sqlite"
               else request.getfixturevalue("postgres_url"))
        run(url, f"CREATE TABLE {name} ({columns})")
        kept = list(rows)
        if kept:
            fields = ", ".join(f'"{field}"' for field in kept[0])
            values = ", ".join(f":{field}" for field in kept[0])
            run(url, f"INSERT INTO {name} ({fields}) VALUES ({values})", kept)  # noqa: S608
        return TableRef(url, name.strip('"'))

    return table


def run(url: str, statement: str, rows: list[dict[str, Any]] | None = None) -> None:
    """Run one statement and commit."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text(statement), rows)
    engine.dispose()


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest, make: Make) -> Callable[..., tuple[TableRef, TableRef]]:
    """Make the same columns with other rows in a pair of databases."""
    kinds: tuple[str, str] = request.param
    return lambda columns, before, after: (
        make(kinds[0], columns, before), make(kinds[1], columns, after))


def named(*ids: int, **changed: str | None) -> list[dict[str, Any]]:
    """Return rows of NAMES; `_7="x"` changes the name of row 7."""
    return [{"id": n, "name": changed.get(f"_{n}", f"name {n}")} for n in ids]


def test_differing_rows_are_found_exactly(pair: Any) -> None:
    """Of many rows, those that differ are named with both values, and no others."""
    everything = range(MANY)
    tables = pair(NAMES, named(*everything), named(*everything, _0="x", _6001="y", _11999=None))
    found = compare_tables(*tables, BY_ID)
    assert (found.baseline_rows, found.candidate_rows, found.is_complete) == (MANY, MANY, True)
    assert {each.key: each.columns for each in found.differing} == {
        "0": (Change("name", "name 0", "x"),),
        "6001": (Change("name", "name 6001", "y"),),
        "11999": (Change("name", "name 11999", None),),
    }
    assert not found.only_baseline and not found.only_candidate and not found.is_equal


def test_keys_of_one_side_are_found_everywhere(pair: Any) -> None:
    """Rows that one side lacks are found at the beginning, in the middle and at the end."""
    without = {0, 1, 7000, 11999}
    rows = named(*range(MANY))
    fewer = [row for row in rows if row["id"] not in without]
    extra = named(-5, 50_000, 50_001)
    found = compare_tables(*pair(NAMES, rows, fewer + extra), BY_ID)
    assert found.only_baseline == ("0", "1", "7000", "11999")
    assert found.only_candidate == ("-5", "50000", "50001")
    assert not found.differing


def test_many_extra_rows_are_found_beyond_the_other_sides_keys(pair: Any) -> None:
    """A side that has far more rows, all beyond the other's last key, is searched all the same."""
    found = compare_tables(*pair(NAMES, named(1), named(*range(1, 9000))), BY_ID, most=10_000)
    assert found.only_candidate == tuple(str(n) for n in range(2, 9000))
    assert found.is_complete and not found.only_baseline


def test_equal_tables_are_equal(pair: Any) -> None:
    """The order in which rows were written does not matter."""
    found = compare_tables(*pair(NAMES, named(*range(MANY)), named(*reversed(range(MANY)))),
                           BY_ID)
    assert found.is_equal


def test_null_is_not_the_empty_text(pair: Any) -> None:
    """NULL and '' differ, in both directions, and nothing else does."""
    before = named(1, 2, 3, 4, *range(5, MANY), _1=None, _2="", _3=None, _4="")
    after = named(1, 2, 3, 4, *range(5, MANY), _1="", _2=None, _3=None, _4="")
    found = compare_tables(*pair(NAMES, before, after), BY_ID)
    assert [each.columns[0] for each in found.differing] == [
        Change("name", None, ""), Change("name", "", None)]


def test_values_that_move_between_rows_and_columns_are_found(pair: Any) -> None:
    """Swapping two rows' values, or two columns' values, never cancels out."""
    columns = "id integer primary key, a text, b text"
    before = [{"id": n, "a": f"{n}", "b": f"{n},"} for n in range(MANY)]
    after = [dict(row) for row in before]
    after[10]["a"], after[11]["a"] = after[11]["a"], after[10]["a"]
    after[5000].update(a="5000,", b="5000")
    found = compare_tables(*pair(columns, before, after), BY_ID)
    assert [each.key for each in found.differing] == ["10", "11", "5000"]


@pytest.mark.parametrize(("type_", "before", "after"), [
    ("bigint", -1, 4294967295), ("bigint", 1, 4294967296), ("numeric", -5, 5),
    ("double precision", 0.1, 0.1000000000000001), ("text", "a", "a "),
], ids=["sign", "overflow", "minus", "float", "blank"])
def test_values_that_weak_checksums_confuse_are_found(
    pair: Any, type_: str, before: Any, after: Any
) -> None:
    """Values that PostgreSQL's own hash functions of these types may not tell apart differ."""
    rows = [{"id": n, "value": before} for n in range(5000)]
    changed = [{**row, "value": after if row["id"] == 77 else before} for row in rows]
    found = compare_tables(
        *pair(f"id integer primary key, value {type_}", rows, changed), BY_ID)
    assert [each.key for each in found.differing] == ["77"]


def test_text_keys_may_hold_anything(pair: Any) -> None:
    """Quotes, delimiters, case, unicode and blanks in keys are compared as they are."""
    odd = ["", " ", "'", '"', "''; DROP TABLE x; --", "a,b", "(a)", "\\", "ä", "ß", "世界", "🌍",
           "\ufb01", "A", "a", "a ", "%s", ":x", "{}"]
    keys = odd + [f"key {n}" for n in range(5000)]
    before = [{"id": key, "name": "x"} for key in keys]
    after = [{"id": key, "name": "y" if key in odd else "x"} for key in keys if key != "🌍"]
    found = compare_tables(*pair("id varchar(40) primary key, name text", before, after), BY_ID)
    assert {each.key for each in found.differing} == set(odd) - {"🌍"}
    assert found.only_baseline == ("🌍",) and not found.only_candidate


def test_uuid_keys_are_compared_as_uuids(make: Make, pair: Any) -> None:
    """UUIDs are the same with and without dashes; what differs is shown with dashes."""
    ids = [f"{n * 7919 % 2**32:08x}-0000-4000-8000-{n:012x}" for n in range(5000)]
    before = [{"id": one, "name": "x"} for one in ids]
    after = [{"id": one, "name": "y" if number == 9 else "x"} for number, one in enumerate(ids)]
    found = compare_tables(*pair("id uuid primary key, name text", before, after), BY_ID)
    assert [each.key for each in found.differing] == [ids[9]]
    digits = make("sqlite", "id char(32) primary key, name text",
                  [{**row, "id": row["id"].replace("-", "").upper()} for row in before])
    dashes = make("sqlite", "id uuid primary key, name text", before)
    assert compare_tables(digits, dashes, BY_ID).is_equal


TYPES = {  # of columns, by kind: in SQLite, in PostgreSQL
    Kind.INTEGER: ("bigint", "bigint"), Kind.NUMBER: ("numeric", "numeric"),
    Kind.FLOAT: ("double precision", "double precision"), Kind.BOOLEAN: ("boolean", "boolean"),
    Kind.TEXT: ("text", "text"), Kind.BYTES: ("blob", "bytea"), Kind.UUID: ("uuid", "uuid"),
    Kind.JSON: ("json", "jsonb"), Kind.TIMESTAMP: ("timestamp", "timestamptz"),
    Kind.DATE: ("date", "date"), Kind.TIME: ("time", "time"), Kind.OTHER: ("", "text[]"),
}


def storable(kind: Kind, examples: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the examples that a table of this kind can hold, in both kinds of databases."""
    fits: dict[Kind, type | tuple[type, ...]] = {
        Kind.INTEGER: int, Kind.NUMBER: (int, float), Kind.FLOAT: float, Kind.BOOLEAN: bool,
        Kind.BYTES: bytes}
    return [
        pair for pair in examples
        if all(isinstance(one, fits.get(kind, str)) and not (isinstance(one, int)
               and abs(one) >= 2**63) and not math.isnan(one if isinstance(one, float) else 0)
               and str(one).isprintable() and "e9999" not in str(one) for one in pair)
        and not any(kind is Kind.UUID and len(str(one)) < 32 for one in pair)
        and not any(kind is Kind.JSON and not str(one).endswith(("}", "]")) for one in pair)
        and not any(kind is Kind.TIMESTAMP and "000000001" in one for one in pair)
        and not any(kind is Kind.TIMESTAMP and "123456789" in one for one in pair)
        and not any(kind is Kind.TIME and "1234567" in one for one in pair)
        and not any(kind is Kind.TIME and "+" in one for one in pair)
        and not any(kind is Kind.DATE and " " in one for one in pair)
        and not any(kind is Kind.OTHER and one[:1] != "{" for one in pair)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("is_same", [True, False], ids=["same", "other"])
def test_stored_values_are_compared_by_the_rule_of_their_kind(
    make: Make, request: pytest.FixtureRequest, kinds: tuple[str, str], kind: Kind, is_same: bool
) -> None:
    """Every rule holds for what two real databases give back, by checksums and by reading both."""
    rule = RULES[kind]
    examples = storable(kind, rule.same if is_same else rule.other)
    sides = []
    for number, side in enumerate(kinds):
        type_ = TYPES[kind][0 if side == "sqlite" else 1]
        rows = [{"id": each, "value": pair[number]} for each, pair in enumerate(examples)]
        if kind is Kind.JSON and side != "sqlite":
            rows = [{**row, "value": str(row["value"])} for row in rows]
        sides.append(make(side, f"id integer primary key, value {type_}", rows))
    found = compare_tables(sides[0], sides[1], BY_ID)
    assert len(found.differing) == (0 if is_same else len(examples)), found.differing


@pytest.fixture(params=PAIRS)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A pair of kinds of databases."""
    found: tuple[str, str] = request.param
    return found


@pytest.mark.parametrize(("type_", "one", "other"), [
    ("timestamp", "2026-01-01 00:00:00.123456789", "2026-01-01 00:00:00.123456"),
    ("text", b"ab", "ab"), ("blob", b"\xab", "ab"), ("json", "[" * 3000 + "]" * 3000, "[]"),
    ("json", "[1e999999999]", "[1e999999998]"), ("text", "1e999999999", "1e999999998"),
    ("integer", "five", 5), ("", 5, "5"), ("text", "a\0b", "a"),
    ("timestamp", 20260101, "2026-01-01"),
], ids=short)
def test_whatever_sqlite_may_hold_is_told_apart(
    make: Make, type_: str, one: Any, other: Any
) -> None:
    """A column there may hold any value; none ends the check, and no two are confused."""
    tables = [make("sqlite", f"id integer primary key, value {type_}",
                   [{"id": 1, "value": value}, {"id": 2, "value": one}]) for value in (one, other)]
    found = compare_tables(tables[0], tables[1], BY_ID)
    assert [each.key for each in found.differing] == ["1"]


@pytest.mark.parametrize("side", ["sqlite", pytest.param("SQL_ASCII", marks=pytest.mark.postgres)])
def test_text_that_is_no_utf_8_is_compared_by_its_bytes(
    make: Make, request: pytest.FixtureRequest, side: str
) -> None:
    """One row of it makes nothing inconclusive: what differs is named, and nothing else."""
    if side == "sqlite":
        values = {1: "CAST(X'636166e9' AS text)", 2: "CAST(X'ff' AS text)", 3: "'café'"}
        url = make("sqlite", "id text").url
        tables = [f"t{next(_numbers)}", f"t{next(_numbers)}"]
    else:
        values = {1: "E'caf\\xe9'", 2: "E'\\xff'", 3: "E'caf\\xc3\\xa9'"}
        url, tables = database(request, "SQL_ASCII"), ["t1", "t2"]
    for table in tables:
        run(url, f"CREATE TABLE {table} (id text primary key, name text)")
        for key, value in values.items():
            changed = "'x'" if table == tables[1] and key == 2 else value
            run(url, f"INSERT INTO {table} VALUES ({value}, {changed})".replace(":", "\\:"))  # noqa: S608
    found = compare_tables(*(TableRef(url, table) for table in tables), BY_ID)
    assert [(each.key, each.columns[0].baseline) for each in found.differing] == [
        ("\ufffd", "\ufffd")]


def database(request: pytest.FixtureRequest, encoding: str) -> str:
    """Make a PostgreSQL database of an encoding, and return its address."""
    server = make_url(request.getfixturevalue("postgres_url"))
    name = f"other_{encoding.lower()}_{next(_numbers)}"
    engine = create_engine(server.set(drivername="postgresql+psycopg"),
                           isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"))
    engine.dispose()
    found = server.set(database=name).update_query_dict({"client_encoding": "utf8"})
    return found.render_as_string(hide_password=False)


WORDS = ["Áb", "Ąc", "zz", "a", "Z", "ł", "日本", "ｱ", "Ω", "é", "\ufb01", "🌍", "世界"]


@pytest.mark.parametrize("encoding", [
    "UTF-16le", "UTF-16be", *(pytest.param(name, marks=pytest.mark.postgres)
                              for name in ("LATIN1", "LATIN2", "EUC_JP"))])
def test_keys_are_in_one_order_whatever_the_encoding(
    make: Make, request: pytest.FixtureRequest, tmp_path: Path, encoding: str
) -> None:
    """A database orders texts by the bytes it keeps; that makes no key a duplicate."""
    python = {"EUC_JP": "euc_jp", "LATIN1": "latin1", "LATIN2": "iso8859_2"}.get(encoding, "utf-8")
    words = [word for word in WORDS if word.encode(python, "ignore").decode(python) == word]
    rows = [{"id": word, "name": word} for word in words]
    if encoding.startswith("UTF-16"):
        url = f"sqlite:///{tmp_path}/{encoding}.db"
        with sqlite3.connect(tmp_path / f"{encoding}.db") as made:
            made.execute(f"PRAGMA encoding = '{encoding}'")
            made.execute("CREATE TABLE t (id text primary key, name text)")
        made.close()
    else:
        url = database(request, encoding)
        run(url, "CREATE TABLE t (id text primary key, name text)")
    run(url, "INSERT INTO t VALUES (:id, :name)", rows)
    plain = make("sqlite", "id text primary key, name text", rows)
    assert compare_tables(TableRef(url, "t"), plain, BY_ID).is_equal
    assert compare_tables(TableRef(url, "t"), TableRef(url, "t"), BY_ID).is_equal


def test_keys_that_a_collation_calls_the_same_are_two(make: Make) -> None:
    """Whether keys are unique is about their characters, not about NOCASE."""
    rows = [{"id": "a", "name": "x"}, {"id": "A", "name": "y"}]
    tables = [make("sqlite", "id text collate nocase, name text", rows) for _ in range(2)]
    assert compare_tables(tables[0], tables[1], BY_ID).is_equal


def test_empty_tables_are_equal(pair: Any) -> None:
    """No rows on both sides is equal; no rows on one side is every row of the other."""
    assert compare_tables(*pair(NAMES, [], []), BY_ID).is_equal
    found = compare_tables(*pair(NAMES, [], named(1, 2)), BY_ID)
    assert (found.baseline_rows, found.only_candidate) == (0, ("1", "2"))


ALL_TYPES = """id integer primary key, amount numeric(12,4), at timestamp with time zone,
    local timestamp, day date, clock time, is_paid boolean, ratio double precision, data {blob},
    token uuid, info json"""
IN_SQLITE: dict[str, Any] = {
    "id": 1, "amount": 1.5, "at": "2026-03-01T13:00:00.500+02:00",
    "local": "2026-03-01 10:00:00.000000", "day": "2026-03-01", "clock": "10:30:00.000000",
    "is_paid": 1, "ratio": 0.1, "data": b"\x00\xff", "token": "a" * 32, "info": '{"b":1,"a":[1.5]}',
}
IN_POSTGRES: dict[str, Any] = {
    "id": 1, "amount": "1.5000", "at": "2026-03-01 06:00:00.5-05", "local": "2026-03-01 10:00",
    "day": "2026-03-01", "clock": "10:30", "is_paid": True, "ratio": 0.1, "data": b"\x00\xff",
    "token": "AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "info": '{"a": [1.50], "b": 1}',
}


@pytest.mark.postgres
def test_equal_values_are_equal_across_databases(make: Make) -> None:
    """Numbers, times, booleans, bytes, UUIDs and JSON are compared by value, not by spelling."""
    nothing = {**dict.fromkeys(IN_SQLITE), "id": 2}
    before = make("sqlite", ALL_TYPES.format(blob="blob"), [IN_SQLITE, nothing])
    after = make("postgres", ALL_TYPES.format(blob="bytea"), [IN_POSTGRES, nothing])
    assert compare_tables(before, after, BY_ID).is_equal
    assert compare_tables(after, before, BY_ID).is_equal


@pytest.mark.postgres
@pytest.mark.parametrize(("column", "value"), [
    ("amount", "1.5001"), ("at", "2026-03-01 06:00:00.5-04"), ("local", "2026-03-01 10:00:01"),
    ("day", "2026-03-02"), ("clock", "10:31"), ("is_paid", False), ("ratio", 0.11),
    ("data", b"\x00"), ("token", "b" * 32), ("info", '{"a": [1.51], "b": 1}'), ("amount", None),
])
def test_each_type_differs_across_databases(make: Make, column: str, value: Any) -> None:
    """Comparing by value still sees a value that is another one."""
    before = make("sqlite", ALL_TYPES.format(blob="blob"), [IN_SQLITE])
    after = make("postgres", ALL_TYPES.format(blob="bytea"), [{**IN_POSTGRES, column: value}])
    found = compare_tables(before, after, BY_ID)
    assert [change.column for change in found.differing[0].columns] == [column]


@pytest.mark.postgres
@pytest.mark.parametrize(("column", "value"), [
    ("amount", "1.5001"), ("amount", "-1.5"), ("at", "2026-03-01 06:00:00.500001-05"),
    ("local", "2026-03-01 10:00:01"), ("day", "2026-03-02"), ("clock", "10:31"),
    ("is_paid", False), ("ratio", 0.11), ("data", b"\x00"), ("token", "b" * 32),
    ("info", '{"a": [1.51], "b": 1}'), ("amount", None), ("data", None), ("is_paid", None),
])
def test_each_type_differs_between_two_postgres(make: Make, column: str, value: Any) -> None:
    """Checksums see the smallest change of any type among thousands of rows."""
    rows = [{**IN_POSTGRES, "id": n} for n in range(3000)]
    changed = [{**row, column: value} if row["id"] == 1234 else row for row in rows]
    types = ALL_TYPES.format(blob="bytea")
    found = compare_tables(
        make("postgres", types, rows), make("postgres", types, changed), BY_ID)
    assert [(each.key, each.columns[0].column) for each in found.differing] == [("1234", column)]


@pytest.mark.postgres
def test_equal_rows_are_not_fetched(make: Make) -> None:
    """Between two PostgreSQL databases only the surroundings of a difference are read."""
    rows = named(*range(MANY))
    tables = (make("postgres", NAMES, rows), make("postgres", NAMES, named(*range(MANY), _7="x")))
    fetched: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "name" in statement and f'FROM "{tables[0].table}"' in statement:
            fetched.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert not compare_tables(*tables, BY_ID).is_equal
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    reading = [one for one in fetched if "hashtext" not in one]
    assert len(reading) == 1 and "WHERE" in reading[0]


def test_tables_may_have_many_columns(pair: Any) -> None:
    """More columns than a database function takes arguments are compared all the same."""
    columns = [f"c{n}" for n in range(150)]
    before: list[dict[str, Any]] = [
        {"id": n, **dict.fromkeys(columns, n)} for n in range(2500)]
    after = [dict(row) for row in before]
    after[9].update(c0=None, c149=-1)
    after[10].update(c70=None)
    found = compare_tables(*pair("id integer primary key, " + ", ".join(
        f"{name} integer" for name in columns), before, after), BY_ID)
    assert [(each.key, [change.column for change in each.columns]) for each in found.differing] == [
        ("9", ["c0", "c149"]), ("10", ["c70"])]


@pytest.mark.postgres
def test_nulls_that_move_between_columns_and_rows_are_found(make: Make) -> None:
    """A NULL that changes places with a value never cancels out in a checksum."""
    types = "id text primary key, a integer, b integer, c text, d text"
    before = [{"id": f"k{n}", "a": 1, "b": None, "c": "x", "d": None} for n in range(3000)]
    after = [dict(row) for row in before]
    after[3].update(a=None, b=1)
    after[4].update(c=None, d="x")
    after[5]["a"] = None
    after[6]["b"] = 1
    found = compare_tables(make("postgres", types, before), make("postgres", types, after),
                           BY_ID)
    assert [each.key for each in found.differing] == ["k3", "k4", "k5", "k6"]


@pytest.mark.postgres
def test_types_that_differ_between_two_postgres_are_compared_by_value(make: Make) -> None:
    """A new system's wider types do not make equal rows differ, and hide no difference."""
    before = [{"id": n, "a": n, "b": f"{n}.50", "c": "2026-01-01 12:00", "d": "x", "e": n % 2}
              for n in range(5000)]
    after = [{"id": n, "a": f"{n}.00" if n != 9 else "9.01", "b": f"{n}.5",
              "c": "2026-01-01 14:00+02", "d": "x", "e": n % 2 == 1} for n in range(5000)]
    old = make("postgres", "id integer primary key, a integer, b numeric(9,2), c timestamp, "
                           "d char(5), e integer", before)
    new = make("postgres", "id bigint primary key, a numeric, b numeric, c timestamptz, d text, "
                           "e boolean", after)
    without = compare_tables(old, new, Columns("id", ignore=["e"]))  # by checksums
    assert [each.key for each in without.differing] == ["9"]
    whole = compare_tables(old, new, BY_ID)  # by reading both
    assert whole.differing == without.differing


@pytest.mark.postgres
def test_table_may_be_in_a_schema(make: Make, postgres_url: str) -> None:
    """A name with a dot is a schema and a table; a view is compared like a table."""
    plain = make("postgres", NAMES, named(1, 2))
    schema = f"other_{next(_numbers)}"
    run(postgres_url, f"CREATE SCHEMA {schema}")
    run(postgres_url, f'CREATE VIEW {schema}.names AS SELECT * FROM "{plain.table}"')  # noqa: S608
    assert compare_tables(plain, TableRef(postgres_url, f"{schema}.names"), BY_ID).is_equal


def test_search_stops_after_most_differences(pair: Any) -> None:
    """More differences than asked for: the first ones, exact counts, and never called equal."""
    before = named(*range(MANY))
    after = [{**row, "name": "other"} for row in before]
    found = compare_tables(*pair(NAMES, before, after), BY_ID, most=10)
    assert [each.key for each in found.differing] == [str(n) for n in range(10)]
    assert (found.baseline_rows, found.candidate_rows) == (MANY, MANY)
    assert not found.is_complete and not found.is_equal


def test_exactly_most_differences_are_complete(pair: Any) -> None:
    """As many differences as asked for and no more is a complete answer."""
    found = compare_tables(*pair(NAMES, named(1, 2, 3), named(1)), BY_ID, most=2)
    assert found.only_baseline == ("2", "3") and found.is_complete


def test_masked_values_are_compared_and_never_shown(pair: Any) -> None:
    """A masked column's difference is reported without its values."""
    masked = Columns("id", mask=["name"])
    found = compare_tables(*pair(NAMES, named(1), named(1, _1="secret")), masked)
    assert found.differing[0].columns == (Change("name", "***", "***"),)
    assert "secret" not in repr(found)


def test_long_values_are_cut(pair: Any) -> None:
    """A value is shown with at most 200 characters."""
    found = compare_tables(*pair(NAMES, named(1), named(1, _1="x" * 5000)), BY_ID)
    assert found.differing[0].columns[0].candidate == "x" * 200


def test_progress_ends_at_the_total(pair: Any) -> None:
    """Progress only grows, and ends with all rows compared."""
    seen: list[tuple[int, int]] = []
    compare_tables(*pair(NAMES, named(*range(MANY)), named(*range(MANY), _5="x")), BY_ID,
                   progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and len(seen) > 2
    assert seen[-1] == (MANY, MANY)


@pytest.mark.parametrize(("columns", "rows"), [
    ("id integer, name text", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]),
    ("id integer, name text", [{"id": None, "name": "a"}]),
    ("id double precision primary key, name text", [{"id": 1.5, "name": "a"}]),
], ids=["twice", "null", "float"])
def test_key_that_identifies_no_row_is_refused(pair: Any, columns: str, rows: Any) -> None:
    """A key that is there twice, NULL or of another type is refused, not compared somehow."""
    with pytest.raises(InvalidInput, match="the key"):
        compare_tables(*pair(columns, rows, rows), BY_ID)


def test_key_without_a_constraint_is_taken_when_its_values_are_unique(pair: Any) -> None:
    """What counts is the data, not what was declared."""
    assert compare_tables(*pair("id integer, name text", named(1, 2), named(2, 1)),
                          BY_ID).is_equal


def test_missing_table_is_refused(pair: Any) -> None:
    """A table that is not there is a mistake of the caller, named with its side."""
    good, other = pair(NAMES, named(1), named(1))
    with pytest.raises(InvalidInput, match=r"candidate .*no_such"):
        compare_tables(good, TableRef(other.url, "no_such"), BY_ID)


def test_column_of_one_side_is_refused_unless_ignored(make: Make) -> None:
    """A column that only one side has is named; ignoring it or naming columns is the way out."""
    old = make("sqlite", NAMES, named(1))
    new = make("sqlite", f"{NAMES}, added text", named(1))
    with pytest.raises(InvalidInput, match="baseline has no column added"):
        compare_tables(old, new, BY_ID)
    assert compare_tables(old, new, Columns("id", ignore=["added"])).is_equal
    assert compare_tables(old, new, Columns("id", compared=["name"])).is_equal


@pytest.mark.parametrize("columns", [
    Columns("nope"), Columns("id", compared=["nope"]), Columns("id", ignore=["nope"]),
    Columns("id", mask=["nope"]), Columns("id", mask=["id"]),
    Columns("id", compared=["name"], ignore=["name"]),
], ids=str)
def test_columns_that_fit_nothing_are_refused(make: Make, columns: Columns) -> None:
    """A name that fits no column changes nothing silently."""
    table = make("sqlite", NAMES, named(1))
    with pytest.raises(InvalidInput):
        compare_tables(table, table, columns)


def test_a_search_for_no_difference_at_all_is_refused(make: Make) -> None:
    """A search that may find nothing would call every table equal."""
    table = make("sqlite", NAMES, named(1))
    with pytest.raises(InvalidInput):
        compare_tables(table, table, BY_ID, most=0)


def test_sqlite_file_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    """A wrong path is an error and leaves no empty database behind."""
    path = tmp_path / "missing.db"
    table = TableRef(f"sqlite:///{path}", "t")
    with pytest.raises(StoreError, match=r"missing\.db"):
        compare_tables(table, table, BY_ID)
    assert not path.exists()


@pytest.mark.parametrize("url", [
    "postgresql://ana:s3cretpw@127.0.0.1:1/db", "postgresql+psycopg://ana:s3cretpw@127.0.0.1:1/db",
    "postgresql://ana@127.0.0.1:1/db?password=s3cretpw", "mysql://ana:s3cretpw@127.0.0.1/db",
    "no url s3cretpw", "postgresql://ana:s3cretpw@127.0.0.1:x/db",
])
def test_passwords_are_never_in_messages(url: str) -> None:
    """Neither the message nor the traceback of a database that cannot be used has the password."""
    with pytest.raises(ChangeoverError) as caught:
        compare_tables(TableRef(url, "t"), TableRef(url, "t"), BY_ID)
    assert "s3cretpw" not in str(caught.value)
    shown = "".join(traceback.TracebackException.from_exception(caught.value).format())
    assert "s3cretpw" not in shown
    assert isinstance(caught.value, Unreachable if ":1/" in url else InvalidInput)


@pytest.mark.postgres
def test_password_is_hidden_when_a_table_is_missing(postgres_url: str) -> None:
    """A message about a table names the database without its password."""
    parsed = make_url(postgres_url).set(password="s3cretpw")
    url = parsed.render_as_string(hide_password=False)
    with pytest.raises(InvalidInput) as caught:
        compare_tables(TableRef(url, "no_such"), TableRef(url, "no_such"), BY_ID)
    assert "s3cretpw" not in str(caught.value)
