"""Envoy's choice of a named part of the traffic, and then of a route within it. Pure.

A plan without named parts has one list of routes. With them there is a matcher in front, which
tests each part's conditions once and in order, and a list of routes for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.gateway.envoy.matching import LIST, listed, of_header, predicate
from changeover.gateway.envoy.routes import routes, routes_of
from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec

Json = dict[str, Any]
Routes = list[Json]

FEWEST = 16
"""From so many parts on they are found by their paths' beginnings; below, one after the other."""
MOST_COPIES = 2
"""A part without a beginning stands below each; more copies than that cost each publication."""


def virtual_host(plan: Plan, state: RoutingState) -> Json:
    """Return the one virtual host, which has all requests."""
    rest = routes(plan, state)
    host: Json = {"name": "users", "domains": ["*"]}
    # everyone gets the same answer while there is maintenance
    if not plan.routes or state.maintenance:
        return {**host, "routes": rest}
    named = [_Named(_head(spec), {"predicate": predicate(spec), "on_match": listed(
        spec.name, routes_of(plan, state, spec))}) for spec in plan.routes]
    return {**host, "matcher": _found(named, listed("rest", rest))}


def changed(host: Json, change: Callable[[Routes], Routes]) -> Json:
    """Return a virtual host with each of its lists of routes changed."""
    if "matcher" not in host:
        return {**host, "routes": change(host["routes"])}
    return {**host, "matcher": _changed(host["matcher"], change)}


def _changed(node: Any, change: Callable[[Routes], Routes]) -> Any:
    if isinstance(node, list):
        return [_changed(each, change) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("@type") == LIST:
        return {**node, "routes": change(node["routes"])}
    return {name: _changed(each, change) for name, each in node.items()}


@dataclass(frozen=True, slots=True)
class _Named:
    """A named part: how all of its paths begin, and its matcher."""

    head: str
    matcher: Json


def _head(spec: RouteSpec) -> str:
    path = spec.path
    if path is None or path.regex is not None:
        return ""
    return path.exact or path.prefix or (path.template or "").partition("{")[0]


def _found(named: Sequence[_Named], rest: Json) -> Json:
    """Return how Envoy finds a request's part: by its path's beginning, where parts are many.

    Below the longest beginning that fits stand, in the plan's order, all parts whose own beginning
    is one of that: no other part can match. So the first one that matches stays the first one.
    """
    below = {key: [each.matcher for each in named if key.startswith(each.head)]
             for key in sorted({each.head for each in named})}
    anywhere = below.pop("", [])
    copies = len(anywhere) + sum(map(len, below.values()))
    if len(named) < FEWEST or copies > MOST_COPIES * len(named):
        return _in_order([each.matcher for each in named], rest)
    known = {key: {"matcher": _in_order(found)} for key, found in below.items()}
    # what is none of those that stand below its beginning is none at all, but for the rest
    otherwise = {"matcher": _in_order(anywhere, rest)} if anywhere else rest
    return {"matcher_tree": {"input": of_header(":path"), "prefix_match_map": {"map": known}},
            "on_no_match": otherwise}


def _in_order(matchers: list[Json], otherwise: Json | None = None) -> Json:
    found: Json = {"matcher_list": {"matchers": matchers}}
    return found if otherwise is None else {**found, "on_no_match": otherwise}
