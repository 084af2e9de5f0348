"""Requests without a user's key: how many there are, and when people are told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.domain.messages import Message, Severity
from changeover.domain.routing import SPLIT, System
from changeover.plan.model import Plan
from changeover.site.site import Site
from changeover.store import cutovers, messages, routing, samples
from changeover.store.engine import Store

OVER = timedelta(minutes=1)
WARNED_ABOVE = 0.01
"""Share of the requests above which people are told."""
LEAST_REQUESTS = 500
"""Fewer tell nothing yet."""


def fate(plan: Plan) -> str:
    """Return what becomes of a plan's requests without a key, in words."""
    if plan.routing.keyless == "split":
        return "each goes to either system by chance"
    return "they stay at the baseline until `full`, and are in no comparison"


def collect(store: Store, migration: str, *, now: datetime) -> dict[str, Any]:
    """Return how many requests of the last minute there were, and how many had no key."""
    windows = [samples.window(store, migration, system, start=now - OVER, end=now)
               for system in System]
    requests = sum(each.requests for each in windows)
    keyless = sum(each.keyless for each in windows)
    return {"requests": requests, "keyless": keyless,
            "share": keyless / requests if requests else None,
            "is_warned_of": requests > 0 and keyless / requests > WARNED_ABOVE}


def lines(found: dict[str, Any]) -> list[str]:
    """Return it as lines of the status; none while every request has a key."""
    if not found["keyless"]:
        return []
    start = "REQUESTS WITHOUT A KEY" if found["is_warned_of"] else "requests without a key"
    return [f"{start}: {found['share']:.1%} ({found['keyless']} of {found['requests']} in the "
            "last minute)"]


def tell(site: Site, *, now: datetime) -> None:
    """Tell people once in a cutover that more requests have no key than a split should leave out.

    Raises:
        StoreError: The store cannot be used.
    """
    state = routing.read(site.store, site.migration)
    found = collect(site.store, site.migration, now=now)
    # while nobody has moved, and after a rollback, it makes no difference
    if state.mode not in SPLIT or not found["is_warned_of"]:
        return
    if found["requests"] < LEAST_REQUESTS:
        return
    cutover = cutovers.latest(site.store, site.migration)
    messages.put(site.store, Message(
        site.migration, severity=Severity.WARNING,
        key=f"keyless-{state.epoch}-{cutover.id if cutover else 0}",
        title=f"{found['share']:.1%} of the requests of {site.migration} have no key",
        body=f"{found['keyless']} of {found['requests']} in the last minute: {fate(site.plan)}. "
        "Name more places in `routing.key`, or give users a cookie with `routing.issue`.",
        at=now), is_once=True)
