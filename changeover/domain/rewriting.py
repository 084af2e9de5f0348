"""Which path and which host a system sees of a user's request. Pure.

The gateway carries out the same in the system's second hop (`gateway.envoy.rewriting`).
"""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.route_matching import Request
from changeover.plan.systems import SystemSpec


@dataclass(frozen=True, slots=True)
class Seen:
    """What a system sees.

    Args:
        path: The path with its query.
        host: The host, perhaps with a port; empty when the request has none and may keep it.
    """

    path: str
    host: str


def seen(spec: SystemSpec, request: Request) -> Seen:
    """Return what a system sees of a request that users sent."""
    return Seen(spec.base_path + request.path, spec.own_host or request.host)
