"""Calls of gRPC: streams without a limit of their own, and how calls ended. Pure.

A call that failed has HTTP's status 200, and gRPC's own status behind the answer. Where a system
speaks HTTP/2 the log has it, and `changeover.gateway.accesslog` reads it as the HTTP status that it
stands for. All of this is in the configuration of such plans only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from changeover.domain.routing import System
from changeover.gateway.envoy import time_limits
from changeover.gateway.envoy.matching import string
from changeover.plan.model import Plan

Json = dict[str, Any]

FIELD = "gs"
"""Where a line of the log has the status; `g` is that of subsets."""
CONTENT_TYPE = r"application/grpc(?:[+;].*)?"
"""Of calls of gRPC (RE2); not `application/grpc-web`, which is HTTP/1.1 like any other."""


def is_possible(plan: Plan) -> bool:
    """Whether a system speaks HTTP/2, without which there is no gRPC."""
    return any(plan.system(name).protocol == "http2" for name in System)


def of_streams(plan: Plan) -> Json:
    """Return what matches the paths of the calls that the plan names as streams."""
    paths = []
    for name in plan.rollback.streams:
        service, _, method = name.rpartition("/")
        paths.append(re.escape(service) + "/" + ("[^/?]+" if method == "*" else method))
    return string(":path", {"safe_regex": {"regex": "|".join(paths)}})


def log_field(plan: Plan) -> Json:
    """Return the field of the log's lines that has gRPC's status."""
    return {FIELD: "%GRPC_STATUS_NUMBER%"} if is_possible(plan) else {}


def status_in(line: Json) -> int | None:
    """Return gRPC's status in a line of the log; None for requests that are not gRPC."""
    found = line.get(FIELD)
    return None if found in (None, "", "-") else int(found)


def routes(plan: Plan, make: Callable[[Json], Json]) -> list[Json]:
    """Return the routes of gRPC: streams both ways may last, and calls end at their deadline.

    Args:
        plan: The migration's plan.
        make: Makes the route of requests that a matcher of headers describes.
    """
    if not is_possible(plan):
        return []
    route = make(string("content-type", {"safe_regex": {"regex": CONTENT_TYPE}}))
    action = route["route"]
    # A server that streams may begin late. The client's own deadline ends a call that hangs, and a
    # little earlier than the client does, so that it counts against the system.
    return [{**route, "route": {
        **action,
        "idle_timeout": time_limits.LONG_LIVED,
        "retry_policy": {**action["retry_policy"], "per_try_timeout": "0s"},
        "max_stream_duration": {"grpc_timeout_header_max": "0s",
                                "grpc_timeout_header_offset": "0.02s"},
    }}]
