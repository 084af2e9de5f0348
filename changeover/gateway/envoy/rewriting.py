"""What a system sees in place of the path and the host that users sent, in its second hop. Pure.

`domain.rewriting` says the same of a request in Python.
"""

from __future__ import annotations

from typing import Any

from changeover.domain.rewriting import routes_for
from changeover.domain.routing import System
from changeover.gateway.envoy.matching import listed, predicate
from changeover.plan.model import Plan
from changeover.plan.rewriting import Step, below
from changeover.plan.routes import RouteSpec
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]


def is_needed(plan: Plan, name: System) -> bool:
    """Whether a system sees another path or host than the one that users sent."""
    spec = plan.system(name)
    return bool(spec.base_path or spec.own_host or routes_for(plan, name))


def virtual_host(plan: Plan, name: System, routes: list[Json]) -> Json:
    """Return the hop's virtual host, with everything changed that a system is to see otherwise.

    Args:
        plan: The migration's plan.
        name: The system.
        routes: Routes that lead to it and match any path.
    """
    spec, told_apart = plan.system(name), routes_for(plan, name)
    host: Json = {"name": str(name), "domains": ["*"]}
    rest = [_seen(spec, route, spec.own_host) for route in routes]
    if not told_apart:
        return {**host, "routes": rest}
    # the request is still the one that users sent, so the same part of the traffic is found
    named = [{"predicate": predicate(each),
              "on_match": listed(each.name, _of_part(spec, each, routes))} for each in told_apart]
    return {**host, "matcher": {"matcher_list": {"matchers": named},
                                "on_no_match": listed("rest", rest)}}


def _of_part(spec: SystemSpec, part: RouteSpec, routes: list[Json]) -> list[Json]:
    own = None if part.rewrite is None else part.rewrite.host
    host = own or spec.own_host
    changed = [_changed(step, _seen(spec, route, host))
               for step in below(part.steps, spec.base_path) for route in routes]
    # an expression that fits with the query only changes no path
    return [*changed, *(_seen(spec, route, host) for route in routes)]


def _seen(spec: SystemSpec, route: Json, host: str | None) -> Json:
    action = dict(route["route"])
    if spec.base_path:
        # every path begins with a slash, which the rewritten one needs, too
        action["prefix_rewrite"] = f"{spec.base_path}/"
    if host is not None:
        action["host_rewrite_literal"] = host
    return {**route, "route": action}


def _changed(step: Step, route: Json) -> Json:
    match = {key: value for key, value in route["match"].items() if key != "prefix"}
    action = {key: value for key, value in route["route"].items() if key != "prefix_rewrite"}
    if step.kind == "prefix":
        return {**route, "match": {"prefix": step.text, **match},
                "route": {**action, "prefix_rewrite": step.to}}
    # both are about the path without its query
    return {**route, "match": {"safe_regex": {"regex": step.text}, **match},
            "route": {**action, "regex_rewrite": {
                "pattern": {"regex": f"^(?:{step.text})$"}, "substitution": step.to}}}
