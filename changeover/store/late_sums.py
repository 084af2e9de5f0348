"""Seconds that a gateway sent after their minute was summed up: summed up once more.

A span is read from whole minutes and hours where there are any. Without this, what a node measured
while it was cut off from the store would stand in seconds that nobody reads.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy.orm import Session

from changeover.analysis.minute_seconds import (
    Step,
    added,
    is_in,
    mask_of,
    step,
    without_mask,
)
from changeover.analysis.window import Sample
from changeover.store import minute_seconds
from changeover.store.covering import MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.hours import forget_hours
from changeover.store.minute_seconds import Key, Known
from changeover.store.samples import read_rows, sum_of, summed_up_until, write_in
from changeover.store.summing import lock_late_sums

AT_ONCE = 10
"""Minutes in one transaction, so that nobody waits long."""


def sum_up(
    store: Store, migration: str, gateway: str, span: range, *, waits: bool = True
) -> int | None:
    """Sum a gateway's seconds anew where minutes were summed up already; return how many were.

    None when somebody sums up minutes at this moment: then it is to be called again, for all.

    The hours of these minutes are deleted: such an hour is read from its minutes then. A minute
    that is closed stays: who deletes seconds adds what came since (`pruning`).

    Args:
        store: The store.
        migration: Name of the migration.
        gateway: Name of the gateway whose seconds came late.
        span: Unix seconds; minutes that begin in it are looked at.
        waits: Wait for who sums up minutes at this moment.
    """
    number = 0
    for start in range(span.start // MINUTE * MINUTE, span.stop, AT_ONCE * MINUTE):
        part = range(start, min(span.stop, start + AT_ONCE * MINUTE))
        done = _sum_part(store, migration, gateway, part, waits=waits)
        if done is None:
            return None
        number += done
    return number


def _sum_part(
    store: Store, migration: str, gateway: str, span: range, *, waits: bool
) -> int | None:
    with store.begin(is_durable=False) as session:
        if not lock_late_sums(session, migration, waits=waits):
            return None
        # asked with the lock: who summed up before is done, and who does it later reads all of it
        span = range(span.start, min(span.stop, summed_up_until(session, migration)))
        present = minute_seconds.present(session, migration, span, of=(gateway,))
        known = minute_seconds.locked(session, migration, present)
        minutes = _minutes(session, migration, gateway, span, known)
        write_in(session, migration, minutes)
        minute_seconds.save(session, migration, known)
        # in one order: others may delete the same
        for at in sorted({minute.at for minute in minutes}):
            forget_hours(session, migration, range(at, at + MINUTE))
        return len({minute.at for minute in minutes})


def _minutes(
    session: Session, migration: str, gateway: str, span: range, known: dict[Key, Known]
) -> list[Sample]:
    """Return a gateway's minutes as they are with what came late; `known` learns what is in."""
    groups: dict[Key, list[Sample]] = defaultdict(list)
    for sample in read_rows(session, migration, None, SECOND, span=span, of=(gateway,)):
        groups[sample.system, sample.at // MINUTE * MINUTE].append(sample)
    own = {(row.system, row.at): row for row in read_rows(
        session, migration, None, MINUTE, span=span, of=(gateway,))}
    minutes = []
    for key, group in groups.items():
        # none: a comparison, which is added to its minute at once
        minute = known.get(key)
        # what comes after a minute was closed is added when its seconds are deleted
        if minute is None or minute.is_closed:
            continue
        present, row = mask_of(each.at for each in group), own.get(key)
        mask = minute.masks.get(gateway)
        mask = without_mask(row, present) if mask is None else mask
        found = _with(row, mask, key, gateway, group)
        if found is not None:
            minutes.append(found)
        minute.masks[gateway] = mask | present
    return minutes


def _with(
    row: Sample | None, mask: int, key: Key, gateway: str, group: list[Sample]
) -> Sample | None:
    """Return a minute with what its gateway sent; None when it is as it was."""
    next_step = step(mask, mask_of(each.at for each in group), may_have_changed=True)
    if next_step is Step.NOTHING:
        return None
    new = [each for each in group if not is_in(mask, each.at)]
    if next_step is Step.ADD and row is not None:
        return added(row, mask, new)
    system, at = key
    return sum_of(system, gateway, range(at, at + MINUTE),
                  group if next_step is Step.ANEW else new)
