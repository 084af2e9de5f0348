"""Every time limit that a user of the gateway can meet. Pure.

A system has a limit until its answer begins, and one for silence within it; a user's own slowness
counts against nobody. Envoy's `timeout` of a route runs until the last byte is sent, so it would
cut off a user on a slow line; it is off. Instead there is the limit of one attempt, which ends as
soon as an answer has begun. docs/timeouts.md lists all of them.
"""

from __future__ import annotations

import socket
import sys
from datetime import timedelta
from typing import Any

from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec

Json = dict[str, Any]

CONNECT = "1s"
LONG_LIVED = "3600s"
"""Silence of an event stream or a websocket, and of a user's connection between two requests."""
HEADERS = "60s"
CLOSING = timedelta(seconds=3)
"""How long a connection that is closing waits for a user who reads nothing.

Envoy's own second cuts the end of answers with `Connection: close` to slow users. But a user who
keeps the connection sees only after this time that an answer broke off, or that a websocket or an
event stream was ended. Without any wait, users who get an answer in the middle of an upload may
lose it.
"""
HOP_IDLE = "60s"
_STALLED_SHARE = 0.8
"""A user who reads nothing is given up before the silence would count against the system."""
# The kernel would take megabytes: the gateway then reads nothing from the system for long.
# Less than `CLOSING` passes between two of those looks for a user who reads 6 kB a second.
_UNSENT_BYTES = 16_384


def seconds(duration: timedelta) -> str:
    """Return a duration as Envoy writes it."""
    return f"{duration.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def with_limits_of(plan: Plan, spec: RouteSpec) -> Plan:
    """Return the plan with the time limits of a named part of the traffic, where it has its own."""
    if not spec.limits:
        return plan
    both = plan.systems
    own = {name: getattr(both, name).model_copy(update=spec.limits)
           for name in ("baseline", "candidate")}
    return plan.model_copy(update={"systems": both.model_copy(update=own)})


def beginnings(plan: Plan) -> dict[str | None, str]:
    """Return `beginning` for each named part of the traffic, and for all else under None."""
    found: dict[str | None, str] = {None: beginning(plan)}
    for spec in plan.routes:
        found[spec.name] = beginning(with_limits_of(plan, spec))
    return found


def beginning(plan: Plan) -> str:
    """Return how long an answer may take to begin, for one attempt; `0s` is for ever."""
    return _longer(plan.systems.baseline.timeout, plan.systems.candidate.timeout)


def attempt(plan: Plan) -> str:
    """Return how long the candidate may take before the baseline is asked instead."""
    spec = plan.systems.candidate
    # Zero means no limit, so it must not win as the shortest.
    limits = [limit for limit in (spec.attempt_timeout, _longest(plan)) if limit]
    return seconds(min(limits, default=timedelta(0)))


def silence(plan: Plan) -> str:
    """Return how long nothing at all may happen within a request and its answer."""
    return _longer(plan.systems.baseline.silence, plan.systems.candidate.silence)


def users(plan: Plan) -> Json:
    """Return the limits of users' connections, for the connection manager."""
    return {
        # Until there is a route, which has its own.
        "stream_idle_timeout": silence(plan),
        "request_headers_timeout": HEADERS,
        "delayed_close_timeout": seconds(CLOSING),
    }


def sockets(plan: Plan, platform: str = sys.platform) -> list[Json]:
    """Return options of the users' sockets, which Linux alone has.

    1. The kernel ends a user who reads nothing at all before `silence` is over: the access log
       then says that the user went away. All other silence is the system's.
    2. Little waits unsent in the kernel, so that while a user reads, however slowly, the gateway
       reads from the system now and then.
    """
    if not platform.startswith("linux"):
        return []
    limit = max(plan.systems.baseline.silence, plan.systems.candidate.silence)
    # TCP_NOTSENT_LOWAT and TCP_USER_TIMEOUT by Linux's numbers: Python elsewhere lacks the names.
    options = [_option("unsent bytes", 25, _UNSENT_BYTES)]
    if silence(plan) != "0s":
        stalled = int(limit.total_seconds() * 1000 * _STALLED_SHARE)
        # Zero would mean the kernel's own limit, which is longer than any silence.
        options.append(_option("stalled users", 18, max(1, stalled)))
    return options


def _option(text: str, name: int, value: int) -> Json:
    return {
        "description": text,
        "level": socket.IPPROTO_TCP,
        "name": name,
        "int_value": value,
        # Set on the listening socket: the kernel copies it to each connection.
        "state": "STATE_LISTENING",
    }


def _longest(plan: Plan) -> timedelta:
    limits = (plan.systems.baseline.timeout, plan.systems.candidate.timeout)
    return max(limits) if all(limits) else timedelta(0)


def _longer(one: timedelta, other: timedelta) -> str:
    """Return the longer limit; no limit is longer than any."""
    return seconds(max(one, other) if one and other else timedelta(0))
