"""Envoy's choice of a named part of the traffic, and then of a route within it. Pure.

A plan without named parts has one list of routes. With them there is a matcher in front, which
tests each part's conditions once and in order, and a list of routes for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.gateway.envoy.routes import routes, routes_of
from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec, Tested, TextTest

Json = dict[str, Any]
Routes = list[Json]

_LIST = "type.googleapis.com/envoy.config.route.v3.RouteList"
_HEADER = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


def virtual_host(plan: Plan, state: RoutingState) -> Json:
    """Return the one virtual host, which has all requests."""
    rest = routes(plan, state)
    host: Json = {"name": "users", "domains": ["*"]}
    # everyone gets the same answer while there is maintenance
    if not plan.routes or state.maintenance:
        return {**host, "routes": rest}
    named = [{"predicate": _predicate(spec),
              "on_match": _listed(spec.name, routes_of(plan, state, spec))}
             for spec in plan.routes]
    return {**host, "matcher": {"matcher_list": {"matchers": named},
                                "on_no_match": _listed("rest", rest)}}


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


def _listed(name: str, found: Routes) -> Json:
    return {"action": {"name": name, "typed_config": {"@type": _LIST, "routes": found}}}


def _changed(match: Json, change: Callable[[Routes], Routes]) -> Json:
    action = match["action"]
    config = action["typed_config"]
    listed = {**config, "routes": change(config["routes"])}
    return {"action": {**action, "typed_config": listed}}


def _predicate(spec: RouteSpec) -> Json:
    return _joined("and_matcher", [_of_header(each) for each in spec.conditions])


def _of_header(tested: Tested) -> Json:
    return _joined("or_matcher", [_single(tested.header, test) for test in tested.tests])


def _joined(how: str, predicates: list[Json]) -> Json:
    # Envoy refuses a list of one
    return predicates[0] if len(predicates) == 1 else {how: {"predicate": predicates}}


def _single(header: str, test: TextTest) -> Json:
    text: Any = {"google_re2": {}, "regex": test.text} if test.kind == "regex" else test.text
    kind = "safe_regex" if test.kind == "regex" else test.kind
    match: Json = {kind: text}
    if test.ignores_case:
        match["ignore_case"] = True
    read = {"name": "envoy.matching.inputs.request_headers",
            "typed_config": {"@type": _HEADER, "header_name": header}}
    return {"single_predicate": {"input": read, "value_match": match}}
