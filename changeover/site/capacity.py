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
    return capacity.judge(Known(
        load=_load(store, plan.migration), observed=observed,
        arriving=_arriving(store, plan.migration, now), shrunk=shrunk, now=now), coming)


def room_when_shrunk(store: Store, plan: Plan, *, now: datetime) -> Room | None:
    """Return the same while something has made the baseline smaller; None while nothing has."""
    if not in_effect(store, plan):
        return None
    return room(store, plan, now=now)


def in_effect(store: Store, plan: Plan) -> tuple[Shrink, ...]:
    """Return which levers made the baseline smaller and were not undone, by the audit."""
    if not any(lever.shrinks for lever in plan.levers.values()):
        return ()
    pulled = []
    for event in audit.of_kind(store, plan.migration, "lever.pulled"):
        is_done = not event.data.get("problem")
        pulled.append((str(event.data.get("lever")), event.at, is_done))
    return capacity.in_effect(plan, pulled)


def _load(store: Store, migration: str) -> Measured | None:
    """Return the newest rate that a load check found the baseline to bear."""
    for check in validations.newest_checks(store, migration, "load", limit=MOST_LOADS):
        rate = capacity.of_load(check.evidence.get("baseline") or ())
        run = validations.get(store, check.run_id)
        if rate is not None and run is not None:
            ended = check.started_at + timedelta(seconds=check.seconds)
            return Measured(rate, ended, run.suite)
    return None


def _observed(
    store: Store, migration: str, start: datetime, end: datetime
) -> Measured | None:
    """Return the busiest minute that the baseline answered healthily in a time."""
    at, (requests, failures) = _minutes(store, migration, System.BASELINE, start, end)
    is_healthy = (failures <= HEALTHY * requests) & (requests > 0)
    if not is_healthy.any():
        return None
    busiest = int(np.argmax(np.where(is_healthy, requests, 0)))
    ended = clock.from_timestamp(int(at[busiest]) + MINUTE)
    return Measured(float(requests[busiest]) / MINUTE, ended)


def _arriving(store: Store, migration: str, now: datetime) -> float | None:
    """Return the requests per second of both systems in the busiest minute of late."""
    totals: dict[int, float] = {}
    for system in System:
        at, (requests, _) = _minutes(store, migration, system, now - PEAK_OF, now)
        for minute, number in zip(at.tolist(), requests.tolist(), strict=True):
            totals[minute] = totals.get(minute, 0.0) + number
    return max(totals.values(), default=0.0) / MINUTE if totals else None


def _minutes(
    store: Store, migration: str, system: System, start: datetime, end: datetime
) -> tuple[Numbers, Reals]:
    """Return whole minutes with their requests and failures, all gateways of a minute as one."""
    # a minute that began before the start was partly of another size
    span = range(-int(-start.timestamp() // 1), int(end.timestamp()))
    at, found = series.columns(
        store, migration, Part(system, MINUTE, span), (_requests, _failures))
    minutes, place = np.unique(at, return_inverse=True)
    sums = np.zeros((2, len(minutes)))
    for row, column in zip(sums, found, strict=True):
        np.add.at(row, place, column)
    return minutes, sums


def _requests(row: Mapping[str, Any]) -> float:
    return float(row.get("requests", 0))


def _failures(row: Mapping[str, Any]) -> float:
    return float(sum((row.get("errors") or {}).values()))
