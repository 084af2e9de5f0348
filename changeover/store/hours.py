"""Hours of measurements: sums of minutes, so that months are read in a moment.

Minutes stay as long as they did: an hour only saves the work of adding them up again. All nodes
have one row, so that a gate over days does not read hundreds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from changeover.analysis.minute_seconds import NODES
from changeover.analysis.window import MAIN_GATEWAY, Sample, combine
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from changeover.store.minute_seconds import MEASURED
from changeover.store.samples import (
    SampleRow,
    first_from,
    read_rows,
    sum_of,
    summed_up_until,
    write_in,
)
from changeover.store.summing import lock_sums

WAITS = timedelta(minutes=15)
"""An hour is summed up so long after its end: what a candidate that hung was compared with by then
is in its minutes."""
AT_ONCE = 48
"""Hours that one call sums up: a store that never had any is brought up to date bit by bit."""


def rollup(store: Store, migration: str, *, now: datetime) -> int:
    """Sum complete hours of minutes into rows of resolution 3600; return how many hours were."""
    last = int((now - WAITS).timestamp())
    with store.read() as session:
        # minutes that are not there yet are not in their hour
        last = min(last, summed_up_until(session, migration))
        start = summed_up_until(session, migration, HOUR)
    number = 0
    while number < AT_ONCE:
        following = _next_hour(store, migration, start)
        if following is None or following + HOUR > last:
            break
        _sum_up(store, migration, following)
        start, number = following + HOUR, number + 1
    return number


def _next_hour(store: Store, migration: str, after: int) -> int | None:
    """Return the start of the first hour from `after` on that has minutes."""
    with store.read() as session:
        found = first_from(session, migration, MINUTE, after)
    return None if found is None else found // HOUR * HOUR


def _sum_up(store: Store, migration: str, start: int) -> None:
    """Sum up one hour in one transaction, which reads its minutes."""
    span = range(start, start + HOUR)
    with store.begin(is_durable=False) as session:
        # what comes late is added to its minute, and then its hour is deleted: not in between
        lock_sums(session, migration)
        systems: dict[str, list[Sample]] = defaultdict(list)
        for minute in read_rows(session, migration, None, MINUTE, span=span):
            systems[minute.system].append(minute)
        hours: list[Sample] = []
        for system, minutes in systems.items():
            hours += _hours(system, span, minutes)
        write_in(session, migration, hours)


def _hours(system: str, span: range, minutes: Sequence[Sample]) -> list[Sample]:
    """Return an hour of a system: the main gateway's, and that of all nodes.

    None when one of them is better told in minutes: where some gateways had an hour and others had
    not, the others would be left out. Each says how long all of them watched: of one moment the
    longest counts.
    """
    gateways: dict[str, list[Sample]] = defaultdict(list)
    for minute in minutes:
        gateways[minute.gateway].append(minute)
    if not all(map(_may_be_one, gateways.values())):
        return []
    # gateways that measured one after the other: together they watched for longer than either
    together = combine(minutes, seconds=HOUR)
    nodes = [minute for minute in minutes if minute.gateway != MAIN_GATEWAY]
    return [
        replace(sum_of(system, gateway, span, group),
                watched=together.watched, listened=together.listened)
        for gateway, group in ((MAIN_GATEWAY, gateways[MAIN_GATEWAY]), (NODES, nodes)) if group
    ]


def _may_be_one(minutes: Sequence[Sample]) -> bool:
    """Whether an hour says the same as its minutes.

    It does not where processes were looked at in some of them only: an hour counts as looked at
    throughout. Such an hour stays in minutes.
    """
    looked_at = sum(minute.memory_bytes is not None for minute in minutes)
    return looked_at in (0, HOUR // MINUTE)


def forget_hours(session: Session, migration: str, span: range) -> None:
    """Delete the hours that a span of minutes is in, when these changed.

    Those of comparisons stay: whoever adds one adds it to them, too.
    """
    session.execute(delete(SampleRow).where(
        SampleRow.migration == migration, SampleRow.system.in_(MEASURED),
        SampleRow.resolution == HOUR, SampleRow.at >= span.start // HOUR * HOUR,
        SampleRow.at < span.stop).execution_options(synchronize_session=False))
