"""Where each route of the plan stands, for status, pages and reports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changeover.domain.routing import BUCKETS, ON_USERS, Mode, RoutingState, place_of
from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec

Numbers = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Requests and errors by route and system."""


def collect(plan: Plan, state: RoutingState, numbers: Numbers) -> list[dict[str, Any]]:
    """Return a row for each route in the plan's order.

    Keys: `route`, `requests` (which they are, in words), `move` (as in the plan), `percent` (of the
    candidate, now), `stands` (in words), `systems` (requests and errors of each of late; null when
    nobody asked).
    """
    return [{**_row(route, state), "systems": numbers.get(route.name)} for route in plan.routes]


def _row(route: RouteSpec, state: RoutingState) -> dict[str, Any]:
    place = place_of(state, route)
    if place is None:
        # as everything without a place of its own
        is_all = state.mode is Mode.CANDIDATE_ONLY
        buckets = BUCKETS if is_all else state.weight
        stands = "with the rest"
        if state.mode not in ON_USERS:
            stands = "never moves" if route.move == "never" else "at the baseline"
    else:
        buckets, stands = place.buckets, place.because.removeprefix(f"route {route.name} ")
    return {"route": route.name, "requests": route.title, "move": route.move,
            "percent": buckets / 100, "stands": stands}


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows for people."""
    return [f"route {each['route']} ({each['requests']}): {each['percent']:g} %, {each['stands']}"
            f"{_met(each['systems'])}" for each in rows]


def _met(systems: Mapping[str, Mapping[str, int]] | None) -> str:
    parts = [f"{name} {met['requests']} requests, {met['errors']} errors"
             for name, met in (systems or {}).items() if met["requests"]]
    return f" ({'; '.join(parts)})" if parts else ""
