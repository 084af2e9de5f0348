"""Subsets of requests that a plan's checks and triggers read. Pure.

A subset has a name: `segment:beta` are the requests of one segment's users. The name is the same
in the gateway's log, in samples, in sums by bucket and in evidence, and only segments that a
plan reads are counted. `route:orders` are the requests of one route; each route is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from changeover.plan.model import Plan

_SEGMENT = "segment:"
_ROUTE = "route:"
REST = "without:route"
"""The requests of no route: those that the general percentage is about."""
_SHOWN = 5
"""Parts of the traffic that a sentence names."""


def subset_of_segment(segment: str) -> str:
    """Return the name of the requests of a segment's users: `segment:beta`."""
    return _SEGMENT + segment


def segment_of(subset: str) -> str | None:
    """Return the segment that a subset is; None when it is another kind."""
    name = subset.removeprefix(_SEGMENT)
    return name if name != subset else None


def subset_of_route(route: str) -> str:
    """Return the name of the requests of a route: `route:orders`."""
    return _ROUTE + route


def route_of_subset(subset: str) -> str | None:
    """Return the route that a subset is; None when it is another kind."""
    name = subset.removeprefix(_ROUTE)
    return name if name != subset else None


def subset_of(part: str | None) -> str | None:
    """Return the subset that a part of the requests is: a segment's name, or `route:orders`."""
    if part is None or ":" in part:
        return part
    return subset_of_segment(part)


def is_part_of_traffic(subset: str) -> bool:
    """Whether a subset is one of those of which each request is in one (`parts_of_traffic`)."""
    return subset == REST or route_of_subset(subset) is not None


def subset_in_words(subset: str) -> str:
    """Return a subset for people: `segment beta`."""
    return subset.replace(":", " ", 1)


def in_words(subset: str | None) -> str:
    """Return what stands behind a metric or system: ` in segment beta`; nothing for all."""
    return f" in {subset_in_words(subset)}" if subset else ""


def parts_in_words(parts: Sequence[str]) -> str:
    """Return parts of the traffic for people: `requests of no route, route help`."""
    shown = ["no route" if each == REST else subset_in_words(each) for each in parts[:_SHOWN]]
    if len(parts) > _SHOWN:
        shown.append(f"{len(parts) - _SHOWN} more")
    return f"requests of {', '.join(shown)}" if shown else "no requests"


def counted_in(subset: str | None, name: str) -> str:
    """Return the name of a counter of a subset: `segment:beta errors`; its own for all requests."""
    return name if subset is None else f"{subset} {name}"


def subsets_read(plan: Plan) -> list[str]:
    """Return the subsets of requests that are counted, sorted: the segments that some check or
    trigger reads, and all routes, which people see, with what has none.
    """
    checks = [check for gate in plan.all_gates.values() for check in gate]
    found = {each.subset for each in (*checks, *plan.triggers) if each.is_of_requests}
    return sorted({*(name for name in found if name is not None), *parts_of_traffic(plan)})


def parts_of_traffic(plan: Plan) -> list[str]:
    """Return the subsets of which each request is in one: what has no route, and each route."""
    return [REST, *(subset_of_route(each.name) for each in plan.routes)] if plan.routes else []
