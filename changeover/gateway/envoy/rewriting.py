"""What a system sees in place of the path and the host that users sent, in its second hop. Pure.

`domain.rewriting` says the same of a request in Python.
"""

from __future__ import annotations

from typing import Any

from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]


def is_needed(plan: Plan, name: System) -> bool:
    """Whether a system sees another path or host than the one that users sent."""
    spec = plan.system(name)
    return bool(spec.base_path or spec.own_host)


def virtual_host(plan: Plan, name: System, routes: list[Json]) -> Json:
    """Return the hop's virtual host, with everything changed that a system is to see otherwise.

    Args:
        plan: The migration's plan.
        name: The system.
        routes: Routes that lead to it and match any path.
    """
    spec = plan.system(name)
    changed = [_seen(spec, route) for route in routes]
    return {"name": str(name), "domains": ["*"], "routes": changed}


def _seen(spec: SystemSpec, route: Json) -> Json:
    action = dict(route["route"])
    if spec.base_path:
        # every path begins with a slash, which the rewritten one needs, too
        action["prefix_rewrite"] = f"{spec.base_path}/"
    if spec.own_host is not None:
        action["host_rewrite_literal"] = spec.own_host
    return {**route, "route": action}
