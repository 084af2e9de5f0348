"""Envoy's choice of a named part of the traffic, and then of a route within it. Pure.

A plan without named parts has one list of routes. With them there is a matcher in front, which
tests each part's conditions once and in order, and a list of routes for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.gateway.envoy.matching import listed, predicate
from changeover.gateway.envoy.routes import routes, routes_of
from changeover.plan.model import Plan

Json = dict[str, Any]
Routes = list[Json]


def virtual_host(plan: Plan, state: RoutingState) -> Json:
    """Return the one virtual host, which has all requests."""
    rest = routes(plan, state)
    host: Json = {"name": "users", "domains": ["*"]}
    # everyone gets the same answer while there is maintenance
    if not plan.routes or state.maintenance:
        return {**host, "routes": rest}
    named = [{"predicate": predicate(spec),
              "on_match": listed(spec.name, routes_of(plan, state, spec))}
             for spec in plan.routes]
    return {**host, "matcher": {"matcher_list": {"matchers": named},
                                "on_no_match": listed("rest", rest)}}


def changed(host: Json, change: Callable[[Routes], Routes]) -> Json:
    """Return a virtual host with each of its lists of routes changed."""
    if "matcher" not in host:
        return {**host, "routes": change(host["routes"])}
    matcher = host["matcher"]
    matchers = [{**each, "on_match": _changed(each["on_match"], change)}
                for each in matcher["matcher_list"]["matchers"]]
    return {**host, "matcher": {
        **matcher, "matcher_list": {"matchers": matchers},
        "on_no_match": _changed(matcher["on_no_match"], change)}}


def _changed(match: Json, change: Callable[[Routes], Routes]) -> Json:
    action = match["action"]
    config = action["typed_config"]
    listed = {**config, "routes": change(config["routes"])}
    return {"action": {**action, "typed_config": listed}}
