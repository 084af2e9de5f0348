"""Which subsets of requests a request is in, as Envoy itself says in its log. Pure.

For each subset that the plan reads there is a filter (RBAC, in shadow: it refuses nobody) that
notes whether the request is in it, by the matcher that routes have too. So log and routing agree to
the byte, and no header's value is written. A route needs no filter: the name of the route that
Envoy took says it (`choice.of_part`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changeover.gateway.envoy.choice import part_of
from changeover.gateway.envoy.matching import of_segment
from changeover.plan.model import Plan
from changeover.plan.subsets import (
    REST,
    parts_of_traffic,
    segment_of,
    subset_of_route,
    subsets_read,
)

Json = dict[str, Any]

_FIELD = "g"
_IN_NAME = "route:"
"""Says that the gateway knows routes, so that a request that names none is of none. With a sign
that is no letter, as all names here: else it would look like the beginning of a line."""
_NAME = "envoy.filters.http.rbac"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"


def filters(plan: Plan) -> list[Json]:
    """Return the filters that note a request's subsets; none for a plan that reads none."""
    return [_filter(plan, number, name) for number, name in enumerate(_noted(plan))]


def _noted(plan: Plan) -> list[str]:
    # the route of a request stands in the name of the route that Envoy took
    of_routes = parts_of_traffic(plan)
    return [name for name in subsets_read(plan) if name not in of_routes]


def log_field(plan: Plan) -> Json:
    """Return the log's field with what each filter noted; nothing without subsets."""
    found = {_IN_NAME: "-"} if plan.routes else {}
    for number, name in enumerate(_noted(plan)):
        noted = f"{_prefix(number)}shadow_effective_policy_id"
        found[name] = f"%DYNAMIC_METADATA({_NAME}:{noted})%"
    return {_FIELD: found} if found else {}


def in_log(line: Mapping[str, Any], route: str) -> frozenset[str] | None:
    """Return the subsets that a line says its request is in; None when it says nothing.

    Args:
        line: The line.
        route: Name of the route that Envoy took.
    """
    found = line.get(_FIELD)
    # A line from before Envoy had the filters: "in none" would be a guess.
    if not isinstance(found, dict):
        return None
    inside = {name for name, policy in found.items() if policy == name}
    part = part_of(route)
    if part is not None:
        inside.add(subset_of_route(part))
    elif _IN_NAME in found:
        inside.add(REST)
    return frozenset(inside)


def _filter(plan: Plan, number: int, subset: str) -> Json:
    is_inside = {"header": _matcher(plan, subset)}
    policy = {"permissions": [is_inside], "principals": [{"any": True}]}
    return {"name": _NAME, "typed_config": {
        "@type": _TYPE,
        "shadow_rules": {"action": "ALLOW", "policies": {subset: policy}},
        # Filters of one name share their notes: the prefix keeps them apart.
        "shadow_rules_stat_prefix": _prefix(number),
    }}


def _prefix(number: int) -> str:
    return f"subset{number}_"


def _matcher(plan: Plan, subset: str) -> Json:
    segment = segment_of(subset)
    if segment is None:
        raise ValueError(f"subset {subset!r} cannot be told from a request")
    return of_segment(plan.routing.segments[segment])
