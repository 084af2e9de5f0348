"""What is too large to be forwarded, where the plan says so. Pure."""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import parts, protocol
from changeover.plan.model import Plan

Json = dict[str, Any]

LARGEST = (1 << 63) - 1
"""Bytes that a length can announce at most."""
MOST_DIGITS = 18
"""Of a length that is certain to be below it."""


def head_kilobytes(plan: Plan) -> int:
    """Return how many kilobytes of headers a request may have."""
    limits = plan.routing.limits
    return protocol.MOST_HEADER_KB if limits is None else limits.headers // 1000


def users(plan: Plan) -> Json:
    """Return what the users' connection manager has besides `protocol.accepted`."""
    return {} if plan.routing.limits is None else {"max_request_headers_kb": head_kilobytes(plan)}


def routes(plan: Plan) -> list[Json]:
    """Return the route of requests whose length is too large.

    It has no name, by which the log tells that the gateway refused the request itself.
    """
    limits = plan.routing.limits
    if limits is None or limits.body is None:
        return []
    announced = {"name": "content-length", "range_match": {"start": limits.body + 1,
                                                           "end": LARGEST}}
    return [{
        "match": {"prefix": "/", "headers": [announced]},
        "direct_response": {"status": 413, "body": {"inline_string": "too large\n"}},
    }]


def limited(plan: Plan, host: Json) -> Json:
    """Return a virtual host whose routes refuse what is too large before all else."""
    found = routes(plan)
    return parts.changed(host, lambda those: [*found, *those]) if found else host
