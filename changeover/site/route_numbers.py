"""What each route's requests met of late, on both systems."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from changeover.analysis.window import Sample, of_subset
from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.plan.subsets import subset_of_route
from changeover.store import gateway_seconds
from changeover.store.engine import Store


def measured(
    store: Store, plan: Plan, *, now: datetime, over: timedelta
) -> dict[str, dict[str, dict[str, int]]]:
    """Return requests and errors by route and system, of the seconds of a short time until now."""
    if not plan.routes:
        return {}
    # read once: a plan may have 200 routes
    rows: dict[str, list[Sample]] = {str(system): [] for system in System}
    for row in gateway_seconds.recent(store, plan.migration, since=now - over):
        if row.system in rows and row.at < int(now.timestamp()):
            rows[row.system].append(row)
    found = {}
    for route in plan.routes:
        subset = subset_of_route(route.name)
        found[route.name] = {
            system: _numbers(of_subset(row, subset) for row in seconds)
            for system, seconds in rows.items()}
    return found


def _numbers(rows: Iterable[Sample]) -> dict[str, int]:
    known = list(rows)
    return {"requests": sum(row.requests for row in known),
            "errors": sum(sum(row.errors.values()) for row in known)}
