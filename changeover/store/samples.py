"""Measurements: one-second samples, minute rollups, windows over both, and their retention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from changeover import clock
from changeover.analysis.window import (
    ALL_GATEWAYS,
    GATEWAY,
    MAIN_GATEWAY,
    SHADOW,
    Measurements,
    Sample,
    Window,
    combine,
    of_subset,
)
from changeover.domain.routing import System
from changeover.plan.procedures import RetentionSpec
from changeover.plan.subsets import subset_of
from changeover.store import outcomes
from changeover.store.covering import HOUR, MINUTE, SECOND, SIZES, covering
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store
from changeover.store.sample_rows import (
    SAMPLED,
    FleetSumRow,
    Part,
    Reader,
    SampleRow,
    arrived_rows,
    compared_rows,
    rows_of,
    summed_span,
    take_away,
    write_in,
)

MINUTES_AT_ONCE = 5
"""Minutes that one transaction sums."""
SETTLED, SETTLED_ON_FLEET = 30, 90
"""Seconds after its end a minute is summed up. On a fleet the gateways' own seconds go with it, so
that those of a node which was cut off for a moment come before."""
TAKEN_AT_ONCE = 1
"""Seconds of all gateways that are summed between two statements: with 200 nodes 600 rows. The
server ends a transaction of the leader that stands still for long."""
PRUNED_AT_ONCE = 2_000
"""Rows that one transaction deletes: nobody else waits for long."""


def write(store: Store, migration: str, samples: Sequence[Sample]) -> None:
    """Keep samples; one that was written before is replaced, so writing again adds nothing."""
    if not samples:
        return
    with store.begin(is_durable=False) as session:
        write_in(session, migration, samples)


def rollup(store: Store, migration: str, *, now: datetime) -> int:
    """Sum complete minutes into rows of resolution 60; return how many were written.

    A minute is complete 30 s after its end, when late log lines have arrived. Few minutes are
    summed in one transaction, so that nobody waits long for those of a whole night. Where there are
    gateway nodes, a minute is one row of all gateways, and their own seconds are deleted with it.
    """
    with store.read() as session:
        summed = summed_span(session, migration)
        start = _first_open_minute(session, migration)
    end = int(now.timestamp()) - SETTLED
    if summed is not None:
        end = min(int(now.timestamp()) - SETTLED_ON_FLEET, summed.stop)
    end, written = end // MINUTE * MINUTE, 0
    while start is not None and start < end:
        if summed is not None and start >= summed.start:
            until = start + MINUTE
            written += _fold(store, migration, range(start, until))
        else:
            until = min(end, start + MINUTES_AT_ONCE * MINUTE, summed.start if summed else end)
            written += _rollup(store, migration, start, until)
        # read anew: an hour without any second is left out at once
        with store.read() as session:
            start = _next_second(session, migration, until)
    return written


def _rollup(store: Store, migration: str, start: int, end: int) -> int:
    """Sum the minutes of [start, end) in one transaction.

    The seconds are read in it: a comparison that is stored meanwhile would be in neither sum.
    """
    with store.begin(is_durable=False) as session:
        seconds = rows_of(session, Part(migration, None, SECOND, start, end))
        minutes = minutes_of(seconds)
        write_in(session, migration, minutes)
    return len(minutes)


def minutes_of(seconds: Sequence[Sample]) -> list[Sample]:
    """Return seconds as minutes, each system's and gateway's of its own."""
    groups: dict[tuple[str, str, int], list[Sample]] = defaultdict(list)
    for sample in seconds:
        groups[sample.gateway, sample.system, sample.at // MINUTE * MINUTE].append(sample)
    return [sum_of(system, gateway, range(at, at + MINUTE), group)
            for (gateway, system, at), group in groups.items()]


def _fold(store: Store, migration: str, minute: range) -> int:
    """Put sums of all gateways in the place of what they sent of a minute, in one transaction.

    What is summed is what is deleted. Whatever comes later, of a node that was cut off for longer,
    stands for itself (`late_sums`).
    """
    with store.begin(is_durable=False) as session:
        seconds: list[Sample] = []
        main_until = 0
        for start in range(minute.start, minute.stop, TAKEN_AT_ONCE):
            part = range(start, min(minute.stop, start + TAKEN_AT_ONCE))
            taken = take_away(session, migration, part)
            seconds += seconds_of_all(taken)
            main_until = max([main_until, *(
                row.at + 1 for row in taken if row.gateway == MAIN_GATEWAY)])
        write_in(session, migration, seconds)
        session.execute(update(FleetSumRow).where(
            FleetSumRow.migration == migration, FleetSumRow.main_until < main_until,
        ).values(main_until=main_until))
        compared = rows_of(
            session, Part(migration, SHADOW, SECOND, minute.start, minute.stop))
        minutes = minutes_of([*seconds, *compared])
        write_in(session, migration, minutes)
    return len(minutes)


def seconds_of_all(rows: Sequence[Sample]) -> list[Sample]:
    """Return the seconds of several gateways, summed over all of them, oldest first."""
    groups: dict[tuple[int, str], list[Sample]] = defaultdict(list)
    for row in rows:
        groups[row.at, row.system].append(row)
    return [sum_of(system, ALL_GATEWAYS, range(at, at + 1), groups[at, system])
            for at, system in sorted(groups)]


def _next_second(session: Session, migration: str, after: int) -> int | None:
    """Return the start of the first minute from `after` on that has seconds."""
    found = first_from(session, migration, SECOND, after)
    return None if found is None else found // MINUTE * MINUTE


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
            rows += _covering(session, migration, SHADOW, span, read=compared_rows)
        rows += _covering(session, migration, GATEWAY, span, read=arrived_rows)
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


def prune(store: Store, migration: str, retention: RetentionSpec, *, now: datetime) -> int:
    """Delete what is older than its retention; seconds only after they were rolled up."""
    with store.read() as session:
        open_minute = _first_open_minute(session, migration)
    seconds_before = int((now - retention.seconds).timestamp())
    # what is not rolled up yet would be lost for ever
    if open_minute is not None:
        seconds_before = min(seconds_before, open_minute)
    minutes_before = int((now - retention.minutes).timestamp())
    deleted = _delete(store, migration, 1, seconds_before)
    deleted += _delete(store, migration, MINUTE, minutes_before)
    # an hour that began before holds minutes that are kept
    return deleted + _delete(store, migration, HOUR, minutes_before - HOUR)


def recent(store: Store, migration: str, *, since: datetime) -> list[Sample]:
    """Return one sample per system and second since a time, oldest first, over all gateways."""
    with store.read() as session:
        rows = rows_of(session, Part(migration, None, 1, int(since.timestamp())))
    groups: dict[tuple[int, str], list[Sample]] = defaultdict(list)
    for row in rows:
        groups[row.at, row.system].append(row)
    # mostly there is one gateway: nothing to sum
    return [
        group[0] if len(group) == 1 else _sum(system, at, 1, group)
        for (at, system), group in groups.items()
    ]


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


def _covering(
    session: Session, migration: str, system: str, span: range, *, read: Reader = rows_of,
    sizes: Sequence[int] = SIZES,
) -> list[Sample]:
    """Return the rows that make up a span of seconds: hours, minutes and seconds, each once."""
    def rows(resolution: int, start: int, end: int) -> list[Sample]:
        return read(session, Part(migration, system, resolution, start, end))

    return covering(rows, span, sizes)


def sum_of(system: str, gateway: str, span: range, group: list[Sample]) -> Sample:
    """Return several samples of a gateway as one that covers a span."""
    return replace(_sum(system, span.start, len(span), group), gateway=gateway)


def _sum(system: str, at: int, resolution: int, group: list[Sample]) -> Sample:
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


def _first_open_minute(session: Session, migration: str) -> int | None:
    """Return the start of the first minute not rolled up yet, or None without any seconds."""
    if end := summed_up_until(session, migration):
        return end
    return _next_second(session, migration, 0)


def _delete(store: Store, migration: str, resolution: int, before: int) -> int:
    old = (SampleRow.migration == migration, SampleRow.system.in_(SAMPLED),
           SampleRow.resolution == resolution, SampleRow.at < before)
    return delete_oldest(store, SampleRow, SampleRow.at, old, most=PRUNED_AT_ONCE)
