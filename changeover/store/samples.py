"""Measurements: one-second samples, and windows over them and their sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, Select, String, Text, cast, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover import clock
from changeover.analysis.window import (
    GATEWAY,
    MAIN_GATEWAY,
    SHADOW,
    Measurements,
    Sample,
    Window,
    combine,
    of_gateway,
    of_subset,
)
from changeover.domain.routing import System
from changeover.plan.subsets import subset_of
from changeover.store import outcomes
from changeover.store.base import Base, NameKey
from changeover.store.covering import HOUR, MINUTE, SECOND, SIZES, covering
from changeover.store.engine import Store
from changeover.store.measured import COMPARED, document, opened_text
from changeover.store.upserts import replace_in


class SampleRow(Base):
    """What one gateway measured of one system in a second (resolution 1), minute or hour (3600).

    `measured` has the fields of a sample that are not what they are when nothing was measured, so
    a new metric needs no new column. Comparisons have their own: they are added to in place.
    """

    __tablename__ = "sample"
    migration: Mapped[NameKey]
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    resolution: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    gateway: Mapped[NameKey]
    watched: Mapped[int]
    listened: Mapped[int]
    measured: Mapped[dict[str, Any]]
    compared: Mapped[int]
    matched: Mapped[int]
    similarity: Mapped[float]


KEY = ("migration", "system", "resolution", "at", "gateway")
"""What makes a row of samples the same row."""
SAMPLED = (str(System.BASELINE), str(System.CANDIDATE), GATEWAY, SHADOW)
"""All names under which there are samples. One by one each is found by the primary key; together
every row of the migration would be looked at."""


def write(store: Store, migration: str, samples: Sequence[Sample]) -> None:
    """Keep samples; one that was written before is replaced, so writing again adds nothing."""
    if not samples:
        return
    with store.begin(is_durable=False) as session:
        write_in(session, migration, samples)


def first_from(
    session: Session, migration: str, size: int, after: int, *, of: Sequence[str] = SAMPLED
) -> int | None:
    """Return when the first row of a resolution began, from `after` on; None without any."""
    starts = []
    for system in of:
        row = session.scalar(_of(migration, system, size).where(
            SampleRow.at >= after).order_by(SampleRow.at).limit(1))
        starts += [] if row is None else [int(row)]
    return min(starts, default=None)


def first_minute_from(session: Session, migration: str, after: int) -> int | None:
    """Return the start of the first minute from `after` on that has seconds."""
    found = first_from(session, migration, SECOND, after)
    return None if found is None else found // MINUTE * MINUTE


def _of(migration: str, system: str, size: int) -> Select[tuple[int]]:
    """Return the times of a system's rows, as the primary key finds them without a search."""
    return select(SampleRow.at).where(
        SampleRow.migration == migration, SampleRow.system == system,
        SampleRow.resolution == size)


def window(
    store: Store, migration: str, system: str, *, start: datetime, end: datetime,
    segment: str | None = None,
) -> Window:
    """Return what was measured of a system in [start, end).

    Whole hours and minutes inside are read from their sums where there are any, the rest from
    seconds, so that 48 hours cost some hundred rows. Nothing is counted twice.

    Args:
        store: The store.
        migration: Name of the migration.
        system: `baseline` or `candidate`.
        start: Aware time, included, rounded up to a whole second.
        end: Aware time, excluded, rounded down to a whole second.
        segment: Requests and outcomes of this segment's users only.
    """
    # a second that is only partly inside is not counted: it could not be divided
    span = range(-int(-start.timestamp() // 1), int(end.timestamp()))
    seconds = max(0.0, (end - start).total_seconds())
    subset = subset_of(segment)
    with store.read() as session:
        rows = [of_subset(row, subset) for row in _covering(session, migration, system, span)]
        if system == "candidate":  # comparisons count for the candidate
            rows += _covering(session, migration, SHADOW, span, read=_compared_rows)
        rows += _covering(session, migration, GATEWAY, span, read=_arrived_rows)
        rows += outcomes.sums(session, migration, system, segment, span=span)
        return combine(rows, seconds=seconds)


def series(
    store: Store, migration: str, system: str, *, start: datetime, end: datetime, points: int = 200
) -> list[Sample]:
    """Return a system's measurements in [start, end) merged into at most `points` samples.

    Steps longer than half a minute are whole minutes, since a minute's sum cannot be divided;
    those longer than half an hour are whole hours. Shorter ones are made of seconds alone; where
    those are deleted already, steps are whole minutes, too.
    """
    first, last = int(start.timestamp()), int(end.timestamp()) + 1
    step = max(1, -(-(last - first) // points))
    if step <= MINUTE // 2 and _is_pruned(store, migration, system, range(first, last)):
        step = MINUTE
    # what is longer than a step would fall into one of several
    sizes: tuple[int, ...] = (SECOND,)
    # half of it and more: rows would fall into the steps unevenly
    if step > HOUR // 2:
        sizes = SIZES
        step, first = -(-step // HOUR) * HOUR, first // HOUR * HOUR
    elif step > MINUTE // 2:
        sizes = (MINUTE, SECOND)
        step, first = -(-step // MINUTE) * MINUTE, first // MINUTE * MINUTE
    with store.read() as session:
        rows = _covering(session, migration, system, range(first, last), sizes=sizes)
    groups: dict[int, list[Sample]] = defaultdict(list)
    for row in rows:
        groups[first + (row.at - first) // step * step].append(row)
    found = []
    for at in sorted(groups):
        group = groups[at]
        # a row as long as a step, of the one gateway that there is, is the sum already
        is_sum = len(group) == 1 and group[0].resolution == step
        found.append(replace(group[0], gateway=MAIN_GATEWAY) if is_sum
                     else _sum(system, at, step, group))
    return found


def _is_pruned(store: Store, migration: str, system: str, span: range) -> bool:
    """Whether minutes of a span are kept whose seconds are deleted."""
    with store.read() as session:
        minute, second = (first_from(session, migration, size, span.start, of=(system,))
                          for size in (MINUTE, SECOND))
    # a minute that has one second left is not missed
    until = span.stop if second is None else min(span.stop, second // MINUTE * MINUTE)
    return minute is not None and minute < until


def measured_until(store: Store, migration: str, gateway: str | None = None) -> datetime | None:
    """Return the end of the newest second of the candidate's traffic, None before the first.

    The observer writes every second, also without requests. `gateway`: of one; None: of any.
    """
    query = select(func.max(SampleRow.at)).filter_by(
        migration=migration, system=str(System.CANDIDATE), resolution=1)
    if gateway is not None:
        query = query.where(SampleRow.gateway == gateway)
    with store.read() as session:
        newest = session.scalar(query)
    return None if newest is None else clock.from_timestamp(newest + 1)


def write_in(session: Session, migration: str, samples: Sequence[Sample]) -> None:
    """Keep samples in the caller's transaction; those that were written before are replaced."""
    values = [values_of(migration, sample) for sample in samples]
    replace_in(session, SampleRow, values, KEY)


def values_of(migration: str, sample: Sample) -> dict[str, Any]:
    """Return a sample as a row."""
    return {
        "migration": migration,
        "system": sample.system,
        "resolution": sample.resolution,
        "at": sample.at,
        "gateway": sample.gateway,
        # a row says how much of it was watched; None means all of it
        "watched": sample.resolution if sample.watched is None else sample.watched,
        "listened": sample.listened or 0,
        "measured": document(sample),
        **{name: getattr(sample, name) for name in COMPARED},
    }


@dataclass(frozen=True, slots=True)
class _Part:
    """Which rows are read: those of one resolution in [start, end)."""

    migration: str
    system: str | None  # None: all
    resolution: int
    start: int
    end: int | None = None
    gateways: tuple[str, ...] = ()  # none: all


Reader = Callable[[Session, _Part], list[Sample]]


def _rows(session: Session, part: _Part) -> list[Sample]:
    # plain columns: building ORM objects costs as much again on weeks of minutes
    return [sample_of(row) for row in session.execute(_select(COLUMNS, part))]


def read_rows(
    session: Session, migration: str, system: str | None, resolution: int, *, span: range,
    of: tuple[str, ...] = (),
) -> list[Sample]:
    """Return a system's rows, or all, of one resolution that began in a span, oldest first.

    `of`: Of these gateways only; empty: of all.
    """
    return _rows(session, _Part(migration, system, resolution, span.start, span.stop, of))


def _compared_rows(session: Session, part: _Part) -> list[Sample]:
    """Return rows of comparisons with nothing but their sums: days of them in milliseconds."""
    columns = (SampleRow.at, SampleRow.compared, SampleRow.matched, SampleRow.similarity)
    return [
        Sample(SHADOW, at, part.resolution, compared=compared, matched=matched,
               similarity=similarity)
        for at, compared, matched, similarity in session.execute(_select(columns, part))
    ]


def _arrived_rows(session: Session, part: _Part) -> list[Sample]:
    """Return rows of the gateway as they stand in a system's window."""
    return [of_gateway(row) for row in _rows(session, part)]


def _select(columns: Sequence[Any], part: _Part) -> Select[Any]:
    """Return the statement for some columns of a part's rows, oldest first."""
    conditions = [
        SampleRow.migration == part.migration, SampleRow.resolution == part.resolution,
        SampleRow.at >= part.start,
    ]
    # all of them are named, too: without, every row of the migration would be looked at
    names = SAMPLED if part.system is None else (part.system,)
    conditions.append(SampleRow.system.in_(names))
    if part.end is not None:
        conditions.append(SampleRow.at < part.end)
    if part.gateways:
        conditions.append(SampleRow.gateway.in_(part.gateways))
    return select(*columns).where(*conditions).order_by(SampleRow.at)


def _covering(
    session: Session, migration: str, system: str, span: range, *, read: Reader = _rows,
    sizes: Sequence[int] = SIZES,
) -> list[Sample]:
    """Return the rows that make up a span of seconds: hours, minutes and seconds, each once."""
    def rows(resolution: int, start: int, end: int) -> list[Sample]:
        return read(session, _Part(migration, system, resolution, start, end))

    return covering(rows, span, sizes)


# as text: the drivers' readers of JSON take most of the time of reading a row
COLUMNS = (*(column for column in SampleRow.__table__.columns
             if column.name not in ("migration", "measured")),
           cast(SampleRow.measured, Text).label("measured"))


def sample_of(row: Row[Any]) -> Sample:
    """Return a row of `COLUMNS` as a sample."""
    return Sample(
        row.system, row.at, row.resolution, row.gateway, row.watched, row.listened,
        compared=row.compared, matched=row.matched, similarity=row.similarity,
        **opened_text(row.measured),
    )


def sum_of(system: str, gateway: str, span: range, group: Sequence[Sample]) -> Sample:
    """Return several samples of a gateway as one that covers a span."""
    return replace(_sum(system, span.start, len(span), group), gateway=gateway)


def _sum(system: str, at: int, resolution: int, group: Sequence[Sample]) -> Sample:
    """Return several samples as one."""
    total = combine(group, seconds=resolution)
    sums = {each.name: getattr(total, each.name) for each in fields(Measurements)}
    return Sample(system, at, resolution, watched=total.watched, listened=total.listened, **sums)


def summed_up_until(session: Session, migration: str, size: int = MINUTE) -> int:
    """Return the end of the newest minute, or hour, that was summed up; 0 before the first."""
    ends = [0]
    for system in SAMPLED:
        row = session.scalar(
            _of(migration, system, size).order_by(SampleRow.at.desc()).limit(1))
        ends += [] if row is None else [int(row) + size]
    return max(ends)


def first_open_minute(session: Session, migration: str) -> int | None:
    """Return the start of the first minute not summed up yet, or None without any seconds."""
    if end := summed_up_until(session, migration):
        return end
    return first_minute_from(session, migration, 0)
