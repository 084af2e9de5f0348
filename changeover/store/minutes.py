"""Minutes of measurements: each gateway's seconds, summed up soon after they were measured.

What comes later is summed up by its sender (`late_sums`), or before its seconds are deleted
(`pruning`).
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.analysis.minute_seconds import mask_of
from changeover.analysis.window import Sample
from changeover.store import minute_seconds
from changeover.store.covering import MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.minute_seconds import MEASURED, Key, Known
from changeover.store.samples import (
    SAMPLED,
    SampleRow,
    first_minute_from,
    first_open_minute,
    read_rows,
    sum_of,
    write_in,
)
from changeover.store.summing import lock_sums

AT_ONCE, GATEWAYS_AT_ONCE = 5, 20
"""Minutes that one transaction sums, and of how many gateways rows are in memory at a time."""


def rollup(store: Store, migration: str, *, now: datetime) -> int:
    """Sum complete minutes into rows of resolution 60; return how many were written.

    A minute is complete 30 s after its end, when late log lines have arrived. Few minutes are
    summed in one transaction, so that nobody waits long for those of a whole night.
    """
    end = (int(now.timestamp()) - 30) // MINUTE * MINUTE
    with store.read() as session:
        start = first_open_minute(session, migration)
    written = 0
    while start is not None and start < end:
        number, until = _rollup(store, migration, start, end)
        written += number
        # read anew: an hour without any second is left out at once
        with store.read() as session:
            start = first_minute_from(session, migration, until)
    return written


def _rollup(store: Store, migration: str, start: int, end: int) -> tuple[int, int]:
    """Sum the first minutes of [start, end) in one transaction; return how many, and up to where.

    The seconds are read in it: a comparison that is stored meanwhile would be in neither sum.
    """
    with store.begin(is_durable=False) as session:
        lock_sums(session, migration)
        names = _gateways(session, migration, range(start, start + AT_ONCE * MINUTE))
        # of many gateways a minute at a time: whoever waits for the lock must not wait for long
        minutes = max(1, min(AT_ONCE, GATEWAYS_AT_ONCE // max(1, len(names))))
        span, written = range(start, min(end, start + minutes * MINUTE)), 0
        known = minute_seconds.locked(session, migration, [
            (system, at) for system in MEASURED for at in range(start, span.stop, MINUTE)])
        for first in range(0, len(names), GATEWAYS_AT_ONCE):
            some = tuple(names[first:first + GATEWAYS_AT_ONCE])
            written += _sum_up(session, migration, span, some, known)
        minute_seconds.save(session, migration, known)
    return written, span.stop


def _sum_up(
    session: Session, migration: str, span: range, gateways: tuple[str, ...],
    known: dict[Key, Known],
) -> int:
    """Sum up the minutes of some gateways, and note which seconds are in; return how many."""
    groups: dict[tuple[str, str, int], list[Sample]] = defaultdict(list)
    for sample in read_rows(session, migration, None, SECOND, span=span, of=gateways):
        groups[sample.gateway, sample.system, sample.at // MINUTE * MINUTE].append(sample)
    minutes = []
    for (gateway, system, at), group in groups.items():
        minute = known.get((system, at))
        # a closed one is left to who deletes seconds
        if minute is not None and minute.is_closed:
            continue
        minutes.append(sum_of(system, gateway, range(at, at + MINUTE), group))
        if minute is not None:
            minute.masks[gateway] = mask_of(each.at for each in group)
    write_in(session, migration, minutes)
    return len(minutes)


def _gateways(session: Session, migration: str, span: range) -> list[str]:
    """Return the gateways that have seconds in a span."""
    return sorted(session.scalars(select(SampleRow.gateway).where(
        SampleRow.migration == migration, SampleRow.system.in_(SAMPLED),
        SampleRow.resolution == SECOND, SampleRow.at >= span.start, SampleRow.at < span.stop,
    ).distinct()))
