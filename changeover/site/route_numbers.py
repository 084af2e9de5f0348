"""What each route's requests met of late, on both systems."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.plan.subsets import subset_of_route, subsets_read
from changeover.store import samples
from changeover.store.engine import Store


def measured(
    store: Store, plan: Plan, *, now: datetime, over: timedelta
) -> dict[str, dict[str, dict[str, int]]]:
    """Return requests and errors by route and system; only of routes that are counted apart: those
    that a stage moves, or a check or trigger reads.
    """
    counted, found = subsets_read(plan), {}
    for route in plan.routes:
        subset = subset_of_route(route.name)
        if subset in counted:
            found[route.name] = {
                str(system): _numbers(store, plan, str(system), subset, (now - over, now))
                for system in System}
    return found


def _numbers(
    store: Store, plan: Plan, system: str, subset: str, span: tuple[datetime, datetime]
) -> dict[str, int]:
    window = samples.window(
        store, plan.migration, system, start=span[0], end=span[1], segment=subset)
    return {"requests": window.requests, "errors": sum(window.errors.values())}
