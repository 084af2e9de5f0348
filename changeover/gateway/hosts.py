"""The systems by the addresses that the access log names. Pure."""

from __future__ import annotations

from changeover.domain.routing import System
from changeover.plan.model import Plan


def hosts_of(plan: Plan) -> dict[str, System]:
    """Return the systems by HOST:PORT."""
    hosts = {}
    for name in System:
        for place in plan.system(name).places:
            hosts[place.title] = name
    return hosts
