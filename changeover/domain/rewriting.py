"""Which path and which host a system sees of a user's request. Pure.

The gateway carries out the same in the system's second hop (`gateway.envoy.rewriting`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.plan.portable import matched
from changeover.plan.rewriting import Step, expanded
from changeover.plan.routes import RouteSpec
from changeover.plan.systems import SystemSpec


@dataclass(frozen=True, slots=True)
class Seen:
    """What a system sees.

    Args:
        path: The path with its query.
        host: The host, perhaps with a port; empty when the request has none and may keep it.
        is_host_kept: Whether that is the host of the request, as it was sent.
    """

    path: str
    host: str
    is_host_kept: bool = False


def routes_for(plan: Plan, name: System) -> Sequence[RouteSpec]:
    """Return the routes that say what a system sees: those of the plan, if any is rewritten for it.

    The first route that matches counts, rewritten or not.
    """
    is_rewritten = name is System.CANDIDATE and any(each.rewrite for each in plan.routes)
    return plan.routes if is_rewritten else ()


def seen(spec: SystemSpec, request: Request, routes: Sequence[RouteSpec] = ()) -> Seen:
    """Return what a system sees of a request that users sent.

    Args:
        spec: The system.
        request: The request as it was sent.
        routes: As `routes_for` returns them.
    """
    route = route_of(routes, request)
    own = (route.rewrite.host if route and route.rewrite else None) or spec.own_host
    path = request.path if route is None else _changed(route.steps, request.path)
    return Seen(spec.base_path + path, own or request.host, is_host_kept=not own)


def _changed(steps: Sequence[Step], path: str) -> str:
    """Return a path after the first step that fits; as it is when none does."""
    for step in steps:
        if step.kind == "prefix":
            if path.startswith(step.text):
                return step.to + path.removeprefix(step.text)
            continue
        alone = re.split("[?#]", path, maxsplit=1)[0]
        groups = matched(step.text, alone)
        if groups is not None:
            return expanded(step.to, groups) + path[len(alone):]
    return path
