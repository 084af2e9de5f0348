"""Calling a system with a copy of a user's request. A failure is an answer, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from changeover.comparison.answers import Answer
from changeover.domain.rewriting import seen
from changeover.gateway import reaching
from changeover.gateway.envoy import segment_script
from changeover.gateway.envoy.protocol import ENVOYS_OWN
from changeover.gateway.envoy.user_key import KEY_HEADER
from changeover.plan.routes import RouteSpec
from changeover.plan.systems import SystemSpec
from changeover.shadow.dialling import dialler
from changeover.shadow.judging import MOST_ANSWER_BYTES, answer_of
from changeover.shadow.pulse import Pulse
from changeover.shadow.tap import Exchange
from changeover.shadow.wire import Broke, Invalid, Received, Refused, Sent, Wire, as_text

SHADOW_HEADER = "x-changeover-shadow"
SAFE = ("GET", "HEAD", "OPTIONS")
_NOT_FORWARDED = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade", "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count",
    KEY_HEADER, *ENVOYS_OWN,
})
"""Headers in the gateway's copy that were not in the request that the baseline got; and the host,
which comes first."""
_CONDITIONS = frozenset({
    "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range",
})
"""Headers that make an answer depend on what the client has (RFC 9110, sections 13 and 14)."""
_PARTS = (206, 304, 412, 416)
"""Statuses of answers that are not whole: only a part, or nothing changed."""
_WITH_LENGTH = ("POST", "PUT", "PATCH")
MOST_LATE = 0.5
"""Share of a call's time: when this process was late for more, the call does not count."""


class OwnFault(Exception):
    """A call took too long because this process had no processor, not because of the system."""


def has_part_only(exchange: Exchange) -> bool:
    """Whether the user got only a part, because the request had a condition or a range."""
    if exchange.method not in SAFE or exchange.status not in _PARTS:
        return False
    return any(name in _CONDITIONS for name, _ in exchange.request_headers)


class Caller:
    """Sends copies to one system, and reuses connections.

    Args:
        spec: The system.
        timeout: Longest wait for a whole answer, in seconds; waiting for a turn is not counted,
            because that is not the system's fault.
        concurrency: Most calls at once; fewer when the plan allows the system fewer.
        pulse: Measures how late this process is, where it must give way to others.
        most_body: Bytes of an answer's body that are read.
        routes: The plan's routes that say what the system sees (`domain.rewriting.routes_for`).
    """

    def __init__(
        self, spec: SystemSpec, *, timeout: float, concurrency: int, pulse: Pulse | None = None,
        most_body: int = MOST_ANSWER_BYTES, routes: Sequence[RouteSpec] = (),
    ) -> None:
        self._pulse = pulse or Pulse()
        self._turn = asyncio.Semaphore(min(concurrency, spec.concurrency or concurrency))
        self._timeout = timeout
        self._most = most_body
        # One byte more than may be compared shows that a body is too large.
        self._spec, self._routes = spec, routes
        self._wire = Wire(dialler(spec, most_body=most_body + 1))

    async def call(self, exchange: Exchange) -> Answer:
        """Return the system's answer to a copy; `error` says why there is none.

        A safe request is sent without its conditions: the answer is whole, whatever the client had.
        An unsafe one is sent with them: they say whether it may be done at all.

        Raises:
            OwnFault: There was no answer in time because this process was late itself.
        """
        async with self._turn:
            return await self._call(exchange)

    async def _call(self, exchange: Exchange) -> Answer:
        began, late = time.perf_counter(), self._pulse.late
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._wire.ask(
                    self._copy(exchange), is_safe=exchange.method in SAFE)
        except (Refused, Broke, Invalid, OSError, ValueError) as error:
            duration = time.perf_counter() - began
            own = self._pulse.late - late
            if isinstance(error, TimeoutError) and own > MOST_LATE * duration:
                raise OwnFault from error
            return Answer(duration=duration, error=_reason(error))
        return self._answer(found, time.perf_counter() - began)

    def _copy(self, exchange: Exchange) -> Sent:
        """Return a copy: the user's request, except for what belongs to the connection."""
        left_out = _NOT_FORWARDED
        if exchange.method in SAFE:
            left_out = left_out | _CONDITIONS
        asked = seen(self._spec, exchange.request, self._routes)
        # Recorded requests have none: the recorded host is not the system that is asked now.
        has_host = any(name == "host" for name, _ in exchange.request_headers)
        is_direct = asked.is_host_kept and not has_host
        headers = [("host", reaching.authority(self._spec) if is_direct else asked.host)]
        for name, value in exchange.request_headers:
            if name not in left_out and not name.startswith(segment_script.OURS):
                headers.append((name, value))
        # So that a system can leave copies out of its own statistics.
        headers.append((SHADOW_HEADER, "1"))
        if exchange.request_body or exchange.method in _WITH_LENGTH:
            headers.append(("content-length", str(len(exchange.request_body))))
        return Sent(exchange.method, asked.path, headers, exchange.request_body)

    def _answer(self, found: Received, duration: float) -> Answer:
        headers = [(as_text(name), as_text(value)) for name, value in found.headers]
        return answer_of(found.status, headers, found.body, duration, most=self._most)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()


def _reason(error: Exception) -> str:
    """Return a class of failure, without addresses or contents."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, Refused):
        return "no connection"
    if isinstance(error, Broke | OSError):
        return "connection broke"
    return "no valid answer"
