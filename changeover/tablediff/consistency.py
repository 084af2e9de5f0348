"""Whether one table holds the same rows in two databases, without fetching both tables.

    rows equal?     one pass on each side at once: a checksum for every range of about 10,000 keys
    range differs   cut it into ranges of about 1,000 keys, again by checksums
    still differs   fetch these rows from both sides and compare them value by value

Checksums are used between two PostgreSQL databases whose columns have the same kinds of types.
Otherwise both tables are read in key order and merged, in batches, so memory stays the same.
How a database is read is in `tables`. This is about stored rows; answers are in `comparison`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, TypeVar

from changeover.errors import InvalidInput
from changeover.tablediff.tables import Checksum, Span, Table, open_table, place_of
from changeover.tablediff.values import Kind, are_same, common_kind, shown

SHOWN_CHARACTERS = 200
MASKED = "***"
_FIRST_RANGE = 10_000
_LAST_RANGE = 1_000
_SAMPLES_PER_RANGE = 16
# Texts are found one by one.
_MOST_RANGES = {Kind.INTEGER: 2000, Kind.UUID: 2000, Kind.TEXT: 200}
_KEY_KINDS = (Kind.INTEGER, Kind.TEXT, Kind.UUID)
_Result = TypeVar("_Result")
_Row = tuple[Any, ...]
Progress = Callable[[int, int], None]
_Pairs = Generator[tuple[_Row | None, _Row | None], None, None]


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table: the database's address and the name, which may be `schema.table`."""

    url: str
    table: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are compared, and how.

    Args:
        key: The column that identifies a row: integer, text or UUID; unique, never NULL.
        compared: What to compare; None for every column, and then both tables must have the same.
        ignore: Columns to leave out.
        mask: Columns that are compared but whose values are never shown.
    """

    key: str
    compared: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    mask: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A column that differs in one row, with both values as text; None is NULL."""

    column: str
    baseline: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that both sides have and that differs."""

    key: str
    columns: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Consistency:
    """What the comparison of one table found, in key order.

    `is_complete` is False when there was more than was asked for and the search stopped there;
    the row counts are exact all the same.
    """

    baseline_rows: int
    candidate_rows: int
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]
    differing: tuple[Difference, ...]
    is_complete: bool

    @property
    def is_equal(self) -> bool:
        """Whether both tables hold the same rows, and all of them were compared."""
        has_differences = self.only_baseline or self.only_candidate or self.differing
        return self.is_complete and not has_differences


def compare_tables(
    baseline: TableRef, candidate: TableRef, columns: Columns, *,
    most: int = 1000, progress: Progress | None = None,
) -> Consistency:
    """Find the rows that only one side has and those that differ, each side in one snapshot.

    Values are compared by value, by the rules in `changeover.tablediff.values`; NULL is only NULL.

    Args:
        baseline: The table of the old system.
        candidate: The same table of the new system.
        columns: Which columns are compared, and how.
        most: Stop after this many differences, at least 1.
        progress: Called with the rows compared so far and the rows in total.

    Raises:
        InvalidInput: A table or column is missing, or the key does not identify the rows.
        Unreachable: A server does not answer.
        StoreError: A database cannot be read.
    """
    if most < 1:
        raise InvalidInput(f"most is {most}", allowed="1 and more")
    with ExitStack() as stack:
        ours = stack.enter_context(open_table("baseline", baseline.url, baseline.table))
        theirs = stack.enter_context(open_table("candidate", candidate.url, candidate.table))
        tables = ours, theirs
        threads = stack.enter_context(ThreadPoolExecutor(2))
        return _Search(tables, columns, threads, progress).run(most)


class _Search:
    """One search for differences; `run` does all of it."""

    def __init__(
        self, tables: tuple[Table, Table], columns: Columns, threads: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        self.tables, self.threads, self.progress = tables, threads, progress
        self.mask = frozenset(columns.mask)
        self.columns = _agree_on_columns(tables, columns)
        self.key_kind = _agree_on_key(tables, columns.key)
        self.rules = []
        for name in self.columns:
            kinds = (table.kinds[name] for table in tables)
            self.rules.append(common_kind(*kinds))
        self.done = self.total = 0

    def run(self, most: int) -> Consistency:
        """Return what differs, the first `most` of it."""
        baseline_rows, candidate_rows = self._both(lambda table: table.count())
        self.total = max(baseline_rows, candidate_rows)
        self._advance(0)
        rows = (baseline_rows, candidate_rows)
        only: tuple[list[str], list[str]] = ([], [])
        differing: list[Difference] = []
        is_complete = True
        may_checksum = self._may_checksum()
        whole = Span()
        everything = self._narrowed(whole, rows) if may_checksum else self._merged(whole)
        # Closed at the end: where the search stops early, queries may still be open.
        with closing(everything) as differences:
            for number, (before, after) in enumerate(differences):
                if number == most:
                    is_complete = False
                    break
                if before is None or after is None:
                    only[1 if before is None else 0].append(self._shown_key(before or after))
                else:
                    differing.append(self._difference(before, after))
        if is_complete:
            self._advance(self.total - self.done)
        return Consistency(
            baseline_rows, candidate_rows, tuple(only[0]), tuple(only[1]), tuple(differing),
            is_complete)

    def _may_checksum(self) -> bool:
        """Whether both databases make the same text, and the same checksum, of equal rows."""
        ours, theirs = self.tables
        for name in self.columns:
            # Whole numbers have the same text, whichever numeric type holds them.
            kinds = {ours.kinds[name], theirs.kinds[name]}
            if len(kinds) > 1 and kinds != {Kind.INTEGER, Kind.NUMBER}:
                return False
        baseline, candidate = self._both(lambda table: table.may_checksum())
        return bool(baseline) and baseline == candidate

    def _narrowed(self, span: Span, rows: tuple[int, int]) -> _Pairs:
        """Yield what differs in a range, reading only the parts whose checksums differ."""
        bounds = self._bounds(span, rows) if max(rows) > 2 * _LAST_RANGE else []
        if not bounds:
            yield from self._merged(span)
            return
        baseline, candidate = self._both(
            lambda table: table.checksums(self.columns, span, bounds))
        edges = [span.low, *bounds, span.high]
        for number in range(len(bounds) + 1):
            before = baseline.get(number, Checksum())
            after = candidate.get(number, Checksum())
            if before == after:
                self._advance(before.rows)
            else:
                part = Span(edges[number], edges[number + 1])
                yield from self._narrowed(part, (before.rows, after.rows))

    def _bounds(self, span: Span, rows: tuple[int, int]) -> list[Any]:
        """Return keys that cut the range into parts of similar size; none if it has too few.

        A bound is never the range's own beginning: the parts are smaller each time, so that
        cutting ends whatever the keys are.
        """
        larger = max(rows)
        size = _FIRST_RANGE if larger > 2 * _FIRST_RANGE else _LAST_RANGE
        parts = min(-(-larger // size), _MOST_RANGES[self.key_kind])
        one_in = max(1, larger // (parts * _SAMPLES_PER_RANGE))
        # Of the side with more rows: where the other one is empty it has no keys at all.
        fuller = self.tables[0 if rows[0] >= rows[1] else 1]
        keys = fuller.sample(span, one_in)
        if not keys:
            return []
        chosen = {keys[number * len(keys) // parts] for number in range(1, parts)}
        return sorted(chosen - {span.low})

    def _merged(self, span: Span) -> _Pairs:
        """Yield what differs in a range by reading both sides in key order."""
        ours, theirs = self.tables
        left, right = ours.rows(self.columns, span), theirs.rows(self.columns, span)
        # Whoever stops reading leaves two open cursors behind otherwise.
        with closing(left), closing(right):
            for number, (before, after) in enumerate(_merge(left, right), 1):
                if number % _LAST_RANGE == 0:
                    self._advance(_LAST_RANGE)
                # Most rows are equal as they come; only the others are taken apart by the rules.
                if before == after:
                    continue
                if before is None or after is None or any(self._differing(before, after)):
                    yield before, after

    def _differing(self, before: _Row, after: _Row) -> Iterator[int]:
        """Yield the numbers of the columns that differ, one-based: 0 is the key."""
        for number, kind in enumerate(self.rules, 1):
            one, other = before[number], after[number]
            if one != other and not are_same(kind, one, other):
                yield number

    def _difference(self, before: _Row, after: _Row) -> Difference:
        changes = []
        for number in self._differing(before, after):
            name = self.columns[number - 1]
            if name in self.mask:
                changes.append(Change(name, MASKED, MASKED))
            else:
                changes.append(Change(name, _shown(before[number]), _shown(after[number])))
        return Difference(self._shown_key(before), tuple(changes))

    def _shown_key(self, row: _Row | None) -> str:
        key = row[0] if row else ""
        # Compared as digits, shown as people know it.
        if self.key_kind is Kind.UUID and _is_uuid(key):
            return str(uuid.UUID(key))
        return shown(key)

    def _both(self, ask: Callable[[Table], _Result]) -> tuple[_Result, _Result]:
        """Ask both sides at once."""
        baseline, candidate = self.threads.map(ask, self.tables)
        return baseline, candidate

    def _advance(self, rows: int) -> None:
        self.done = min(self.done + rows, self.total)
        if self.progress is not None:
            self.progress(self.done, self.total)


def _merge(left: Iterator[_Row], right: Iterator[_Row]) -> _Pairs:
    """Yield the rows of both in key order, side by side where both have the key."""
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        if before is not None and after is not None and before[0] == after[0]:
            yield before, after
            before, after = next(left, None), next(right, None)
        elif after is None or (before is not None and place_of(before[0]) < place_of(after[0])):
            yield before, None
            before = next(left, None)
        else:
            yield None, after
            after = next(right, None)


def _agree_on_columns(tables: tuple[Table, Table], columns: Columns) -> tuple[str, ...]:
    """Return the columns to compare, without the key; a name that fits nothing is refused."""
    key, compared, ignore = columns.key, columns.compared, columns.ignore
    for name in (key, *(compared or ())):
        _must_have(tables, name)
    known = tables[0].kinds | tables[1].kinds
    for option, names in (("ignore", ignore), ("mask", columns.mask)):
        for name in names:
            if name not in known:
                raise InvalidInput(
                    f"{option} names the column {name}, which neither side has",
                    allowed=", ".join(sorted(known)))
            if name == key:
                raise InvalidInput(f"{option} names the key {key}",
                                   next_step="The key is what identifies a row: leave it out")
    for name in set(compared or ()) & set(ignore):
        raise InvalidInput(f"the column {name} is both to be compared and to be ignored")
    wanted = compared
    if wanted is None:
        wanted = [name for name in known if name not in ignore]
    for name in wanted:
        _must_have(tables, name)
    return tuple(dict.fromkeys(name for name in wanted if name != key))


def _must_have(tables: tuple[Table, Table], name: str) -> None:
    for table in tables:
        if name not in table.kinds:
            raise InvalidInput(
                f"the {table.side} has no column {name}", where=table.where,
                allowed=", ".join(table.kinds),
                next_step="Check the name, or name the column under ignore")


def _agree_on_key(tables: tuple[Table, Table], key: str) -> Kind:
    """Return the kind of the key, and have both tables use it."""
    kinds = [table.kinds[key] for table in tables]
    for table, kind in zip(tables, kinds, strict=True):
        if kind not in _KEY_KINDS:
            raise InvalidInput(f"the key {key} is of type {kind}", where=table.where,
                               allowed="integer, text or uuid")
    if Kind.INTEGER in kinds and kinds[0] != kinds[1]:
        raise InvalidInput(
            f"the key {key} is {kinds[0]} in the baseline and {kinds[1]} in the candidate",
            allowed="the same type on both sides")
    kind = common_kind(*kinds)
    # SQLite has no UUIDs: one side would order digits, the other 128 bits.
    are_postgres = all(table.is_postgres for table in tables)
    is_native = kinds[0] == kinds[1] and are_postgres
    for table in tables:
        table.use_key(key, kind, is_native=is_native)
    return kind


def _shown(value: Any) -> str | None:
    return None if value is None else shown(value)[:SHOWN_CHARACTERS]


def _is_uuid(digits: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", digits.replace("-", "")) is not None
