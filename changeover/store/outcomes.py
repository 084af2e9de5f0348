"""Outcomes that applications report: each counts once, and is summed when it is saved.

Sums of a second and of its minute are written in the outcome's own transaction, so that metrics
never lag behind what was accepted and a gate over days reads thousands of rows, never millions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    Index,
    String,
    and_,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.analysis.histogram import Histogram, bin_of
from changeover.analysis.window import Sample, outcomes_of
from changeover.domain.outcomes import Reported
from changeover.plan.procedures import RetentionSpec
from changeover.store.base import Base, NameKey
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store
from changeover.store.upserts import upsert_of

if TYPE_CHECKING:
    from changeover.analysis.sequential.reported import Counting


class OutcomeRow(Base):
    """One outcome that an application reported; kept so that it counts once."""

    __tablename__ = "outcome"
    migration: Mapped[NameKey]
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    system: Mapped[str] = mapped_column(String(16))
    success: Mapped[bool]
    seconds: Mapped[float | None]
    quality: Mapped[str | None]
    segments: Mapped[str]
    __table_args__ = (Index("ix_outcome_at", "migration", "at"),)


class OutcomeSumRow(Base):
    """The outcomes of a second or minute, of one system, of all users (segment '') or a segment."""

    __tablename__ = "outcome_sum"
    migration: Mapped[NameKey]
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    segment: Mapped[NameKey]
    resolution: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcomes: Mapped[int]
    failures: Mapped[int]
    durations: Mapped[dict[str, Any]]
    quality: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_outcome_sum_at", "migration", "resolution", "at"),)


MINUTE = 60
ALL = ""
"""Name of the sum over all users."""
PRUNED_AT_ONCE = 2_000
"""Outcomes that one transaction deletes: nobody else waits for long."""

Key = tuple[str, str, int, int]
"""System, segment, resolution, start: what a sum is kept under."""


@dataclass
class _Sum:
    """A sum that is being filled."""

    outcomes: int = 0
    failures: int = 0
    bins: dict[int, int] = field(default_factory=dict)
    quality: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, one: Reported) -> None:
        self.outcomes += 1
        self.failures += not one.is_success
        # microseconds, as the bins of all latencies are
        if one.seconds is not None:
            index = bin_of(int(one.seconds * 1e6))
            self.bins[index] = self.bins.get(index, 0) + 1
        for name, value in one.quality.items():
            number, total = self.quality.get(name, (0, 0.0))
            self.quality[name] = number + 1, total + value

    def merge(self, row: OutcomeSumRow) -> None:
        """Add this sum to what a row has."""
        row.outcomes += self.outcomes
        row.failures += self.failures
        counts = dict(Histogram.of_document(row.durations).counts)
        for index, count in self.bins.items():
            counts[index] = counts.get(index, 0) + count
        row.durations = Histogram(counts).document()
        # assigned anew, not changed in place: SQLAlchemy does not see inside JSON
        merged = dict(row.quality)
        for name, (number, total) in self.quality.items():
            known = merged.get(name, (0, 0.0))
            merged[name] = [known[0] + number, known[1] + total]
        row.quality = merged


def save(
    store: Store, migration: str, batch: Sequence[Reported], *, now: datetime,
    counting: Counting | None = None,
) -> frozenset[str]:
    """Save outcomes with their sums in one transaction; return the ids that were not known yet.

    When it returns they are stored; when it raises none of them is. One whose id is known changes
    nothing, whatever it says.

    Args:
        store: The store.
        migration: Name of the migration.
        batch: The outcomes; of the same id within the batch, the first counts.
        now: The present moment: the second that they count for.
        counting: How they are counted by bucket; None where no check compares them.
    """
    distinct: dict[str, Reported] = {}
    for one in batch:
        distinct.setdefault(one.id, one)
    # the second of receipt, not of the event: a second that a gate has read never changes
    at = int(now.timestamp())
    with store.begin() as session:
        new = _insert(session, migration, list(distinct.values()), at)
        # of those that were new alone: a repetition must not count twice
        if new:
            added = [distinct[key] for key in new]
            _add_sums(session, migration, added, at)
            if counting is not None:
                # here: sums by bucket need numpy, which nobody waits for who only looks
                from changeover.store import outcome_slices

                outcome_slices.add(session, migration, added, counting, now=now)
    return frozenset(new)


def sums(
    session: Session, migration: str, system: str, segment: str | None, *, span: range
) -> list[Sample]:
    """Return the sums of a span of seconds: whole minutes and the seconds beside them."""
    first, last = span.start, span.stop
    # rounded up and down: only minutes that lie wholly inside are read as minutes
    start, end = -(-first // MINUTE) * MINUTE, last // MINUTE * MINUTE
    at, resolution = OutcomeSumRow.at, OutcomeSumRow.resolution
    seconds = and_(resolution == 1, at >= first, at < last)
    inside = seconds
    if end > start:
        inside = or_(
            and_(resolution == MINUTE, at >= start, at < end),
            and_(seconds, or_(at < start, at >= end)),
        )
    # each second once: from its minute's sum, or by itself outside of whole minutes
    query = select(OutcomeSumRow).where(
        OutcomeSumRow.migration == migration, OutcomeSumRow.system == system,
        OutcomeSumRow.segment == (segment or ALL), inside,
    )
    return [_sample(row) for row in session.scalars(query)]


def one_resolution(
    migration: str, system: str, segment: str | None, resolution: int
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for a system's sums of one length, of all users or a segment."""
    return (
        OutcomeSumRow.migration == migration, OutcomeSumRow.system == system,
        OutcomeSumRow.segment == (segment or ALL), OutcomeSumRow.resolution == resolution)


def read_rows(
    session: Session, migration: str, system: str, segment: str | None, *, resolution: int,
    span: range,
) -> list[Sample]:
    """Return sums of one length that began in a span of seconds, oldest first."""
    query = select(OutcomeSumRow).where(
        *one_resolution(migration, system, segment, resolution),
        OutcomeSumRow.at >= span.start, OutcomeSumRow.at < span.stop,
    ).order_by(OutcomeSumRow.at)
    return [_sample(row) for row in session.scalars(query)]


def recent(store: Store, migration: str, *, since: datetime) -> list[Sample]:
    """Return the sums of single seconds since a time, of both systems and every segment."""
    query = select(OutcomeSumRow).where(
        OutcomeSumRow.migration == migration, OutcomeSumRow.resolution == 1,
        OutcomeSumRow.at >= int(since.timestamp()),
    ).order_by(OutcomeSumRow.at)
    with store.read() as session:
        return [_sample(row) for row in session.scalars(query)]


def by_segment(
    store: Store, migration: str, *, start: datetime, end: datetime
) -> dict[tuple[str, str], list[Sample]]:
    """Return the sums of [start, end) by system and segment ('' for all users), sorted."""
    query = select(OutcomeSumRow.system, OutcomeSumRow.segment).where(
        OutcomeSumRow.migration == migration, OutcomeSumRow.resolution == MINUTE
    ).distinct()
    span = range(int(start.timestamp()), int(end.timestamp()) + 1)
    found = {}
    with store.read() as session:
        for system, segment in sorted((row[0], row[1]) for row in session.execute(query)):
            rows = sums(session, migration, system, segment, span=span)
            if rows:
                found[system, segment] = rows
    return found


def quality_names(store: Store, migration: str) -> set[str]:
    """Return the names of quality numbers in the newest thousand minutes."""
    query = select(OutcomeSumRow.quality).where(
        OutcomeSumRow.migration == migration, OutcomeSumRow.resolution == MINUTE
    # a thousand are enough to know the names, and are read in a moment
    ).order_by(OutcomeSumRow.at.desc()).limit(1000)
    with store.read() as session:
        return {name for row in session.scalars(query) for name in row}


def prune(
    store: Store, migration: str, retention: RetentionSpec, *, now: datetime
) -> int:
    """Delete what is older than its retention, of outcomes `PRUNED_AT_ONCE` at most; return how
    much was deleted. Call it again while it is that many."""
    old = select(OutcomeRow.id).where(
        OutcomeRow.migration == migration,
        OutcomeRow.at < int((now - retention.outcomes).timestamp()),
    ).limit(PRUNED_AT_ONCE)
    deleted = 0
    with store.begin(is_durable=False) as session:
        result = session.execute(delete(OutcomeRow).where(
            OutcomeRow.migration == migration, OutcomeRow.id.in_(old)))
        deleted += result.rowcount if isinstance(result, CursorResult) else 0
    for resolution, kept in ((1, retention.seconds), (MINUTE, retention.minutes)):
        gone = (OutcomeSumRow.migration == migration, OutcomeSumRow.resolution == resolution,
                OutcomeSumRow.at < int((now - kept).timestamp()))
        deleted += delete_oldest(
            store, OutcomeSumRow, OutcomeSumRow.at, gone, most=PRUNED_AT_ONCE)
    return deleted


def totals(store: Store, migration: str, *, since: datetime) -> dict[str, tuple[int, int]]:
    """Return (outcomes, failures) by system since a time."""
    query = select(
        OutcomeSumRow.system, func.sum(OutcomeSumRow.outcomes), func.sum(OutcomeSumRow.failures)
    ).where(
        OutcomeSumRow.migration == migration, OutcomeSumRow.segment == ALL,
        OutcomeSumRow.resolution == MINUTE, OutcomeSumRow.at >= int(since.timestamp()),
    ).group_by(OutcomeSumRow.system)
    with store.read() as session:
        return {system: (int(number), int(failed))
                for system, number, failed in session.execute(query)}


_INSERT = """
INSERT INTO outcome (migration, id, at, system, success, seconds, quality, segments)
SELECT CAST(:migration AS VARCHAR(63)), {columns} FROM {rows} WHERE true
ON CONFLICT (migration, id) DO NOTHING RETURNING id
"""
# one parameter for all rows: as many parameters as values would cost more than the insert itself
_SQLITE = text(_INSERT.format(
    rows="json_each(:rows)",
    columns="value ->> 0, :at, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5",
))
_POSTGRES = text(_INSERT.format(
    rows="jsonb_array_elements(CAST(:rows AS jsonb)) AS each(value)",
    columns="value ->> 0, CAST(:at AS bigint), value ->> 1, CAST(value ->> 2 AS boolean), "
            "CAST(value ->> 3 AS double precision), value ->> 4, value ->> 5",
))


def _insert(session: Session, migration: str, batch: list[Reported], at: int) -> list[str]:
    """Insert outcomes whose id is not known and return those ids."""
    batch.sort(key=lambda one: one.id)  # two writers with the same ids wait in turn: no deadlock
    # two writers with the same ids wait for each other in this order: no deadlock
    batch.sort(key=lambda one: one.id)
    values = []
    for one in batch:
        quality = orjson.dumps(one.quality).decode() if one.quality else None
        values.append((one.id, one.system, one.is_success, one.seconds, quality,
                       " ".join(one.segments)))
    rows = orjson.dumps(values).decode()
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    result = session.execute(
        _SQLITE if is_sqlite else _POSTGRES, {"migration": migration, "rows": rows, "at": at})
    return list(result.scalars())


def _add_sums(session: Session, migration: str, new: Iterable[Reported], at: int) -> None:
    """Add outcomes to the sums of their second and minute, of all users and their segments."""
    groups: dict[tuple[str, str], _Sum] = defaultdict(_Sum)
    for one in new:
        for segment in (ALL, *one.segments):
            groups[one.system, segment].add(one)
    totals = {}
    for (system, segment), total in groups.items():
        for resolution in (1, MINUTE):
            totals[system, segment, resolution, at // resolution * resolution] = total
    # in order, as every writer: two that share rows wait for each other and never in a circle
    for key, row in _locked(session, migration, sorted(totals)):
        totals[key].merge(row)


def _locked(
    session: Session, migration: str, keys: list[Key]
) -> list[tuple[Key, OutcomeSumRow]]:
    """Return the rows of the keys, made where they were missing, locked until the end."""
    blank = {"outcomes": 0, "failures": 0, "durations": {}, "quality": {}}
    values = [
        {"migration": migration, "system": system, "segment": segment, "resolution": resolution,
         "at": at, **blank}
        for system, segment, resolution, at in keys
    ]
    # made first: a row that is not there cannot be locked
    statement = upsert_of(session)(OutcomeSumRow.__table__).on_conflict_do_nothing()
    session.connection().execute(statement, values)
    columns = (OutcomeSumRow.system, OutcomeSumRow.segment, OutcomeSumRow.resolution,
               OutcomeSumRow.at)
    rows = session.scalars(
        select(OutcomeSumRow)
        .where(OutcomeSumRow.migration == migration, tuple_(*columns).in_(keys))
        # what the session knows may be from before it had the lock
        .order_by(*columns).with_for_update().execution_options(populate_existing=True)
    )
    return [((row.system, row.segment, row.resolution, row.at), row) for row in rows]


def _sample(row: OutcomeSumRow) -> Sample:
    return Sample(
        outcomes_of(row.system, row.segment), row.at, row.resolution, outcomes=row.outcomes,
        failures=row.failures, durations=Histogram.of_document(row.durations),
        quality={name: (int(number), float(total))
                 for name, (number, total) in row.quality.items()},
    )
