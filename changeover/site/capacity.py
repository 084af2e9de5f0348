"""Whether the baseline can take everyone, from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from changeover import clock
from changeover.domain import capacity
from changeover.domain.capacity import HEALTHY, KNOWN_FOR, PEAK_OF, Known, Measured, Room, Shrink
from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.store import audit, series, validations
from changeover.store.engine import Store
from changeover.store.series import Numbers, Part, Reals

MINUTE = 60
MOST_LOADS = 20
"""Newest results of load checks that are looked at: not all of them loaded the baseline."""


def room(store: Store, plan: Plan, coming: Sequence[Shrink] = (), *, now: datetime) -> Room:
    """Return whether rolling back would fit, also after what is yet to make the baseline smaller.

    Raises:
        StoreError: The store cannot be read.
    """
    shrunk = in_effect(store, plan)
    pulled = [each.at for each in shrunk if each.at is not None]
    observed = _observed(store, plan.migration, now - KNOWN_FOR, now)
    if pulled:
        # of the time since, if there is anything: it was smaller then
        observed = _observed(store, plan.migration, max(pulled), now) or observed
    load = _load(store, plan.migration)
    arriving = _arriving(store, plan.migration, now)
    known = Known(load, observed, arriving, shrunk, now)
    return capacity.judge(known, coming)


def room_when_shrunk(store: Store, plan: Plan, *, now: datetime) -> Room | None:
    """Return the same while something has made the baseline smaller; None while nothing has."""
    if not in_effect(store, plan):
        return None
    return room(store, plan, now=now)


def in_effect(store: Store, plan: Plan) -> tuple[Shrink, ...]:
    """Return which levers made the baseline smaller and were not undone, by the audit."""
    # mostly no lever does: then the audit need not be read
    if not any(lever.shrinks for lever in plan.levers.values()):
        return ()
    pulled = []
    events = audit.of_kind(store, plan.migration, "lever.pulled")
    for event in events:
        name = str(event.data.get("lever"))
        is_done = not event.data.get("problem")
        pulled.append((name, event.at, is_done))
    return capacity.in_effect(plan, pulled)


def _load(store: Store, migration: str) -> Measured | None:
    """Return the newest rate that a load check found the baseline to bear."""
    checks = validations.newest_checks(
        store, migration, "load", limit=MOST_LOADS)
    for check in checks:
        # empty where only the candidate was loaded
        levels = check.evidence.get("baseline") or ()
        rate = capacity.of_load(levels)
        run = validations.get(store, check.run_id)
        if rate is not None and run is not None:
            length = timedelta(seconds=check.seconds)
            return Measured(rate, check.started_at + length, run.suite)
    return None


def _observed(
    store: Store, migration: str, start: datetime, end: datetime
) -> Measured | None:
    """Return the busiest minute that the baseline answered healthily in a time."""
    part = _part(System.BASELINE, start, end)
    at, (requests, failures) = _minutes(store, migration, part)
    # a minute with many failures shows what it does not bear
    is_healthy = (failures <= HEALTHY * requests) & (requests > 0)
    if not is_healthy.any():
        return None
    borne = np.where(is_healthy, requests, 0)
    busiest = int(np.argmax(borne))
    ended = int(at[busiest]) + MINUTE
    rate = float(requests[busiest]) / MINUTE
    return Measured(rate, clock.from_timestamp(ended))


def _arriving(store: Store, migration: str, now: datetime) -> float | None:
    """Return the requests per second of both systems in the busiest minute of late."""
    totals: dict[int, float] = {}
    # both: after a rollback the baseline gets what the candidate has now
    for system in System:
        part = _part(system, now - PEAK_OF, now)
        at, (requests, _) = _minutes(store, migration, part)
        pairs = zip(at.tolist(), requests.tolist(), strict=True)
        for minute, number in pairs:
            totals[minute] = totals.get(minute, 0.0) + number
    if not totals:
        return None
    return max(totals.values()) / MINUTE


def _part(system: System, start: datetime, end: datetime) -> Part:
    # rounded up: a minute that began before the start was partly of another size
    first = -int(-start.timestamp() // 1)
    span = range(first, int(end.timestamp()))
    return Part(system, MINUTE, span)


def _minutes(
    store: Store, migration: str, part: Part
) -> tuple[Numbers, Reals]:
    """Return whole minutes with their requests and failures, all gateways of a minute as one."""
    asked = (_requests, _failures)
    at, found = series.columns(store, migration, part, asked)
    minutes, place = np.unique(at, return_inverse=True)
    sums = np.zeros((2, len(minutes)))
    for row, column in zip(sums, found, strict=True):
        np.add.at(row, place, column)
    return minutes, sums


def _requests(row: Mapping[str, Any]) -> float:
    return float(row.get("requests", 0))


def _failures(row: Mapping[str, Any]) -> float:
    return float(sum((row.get("errors") or {}).values()))
