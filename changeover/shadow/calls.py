"""Calling a system with a copy of a user's request. What goes wrong is an answer, too."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from yarl import URL

from changeover.comparison.answers import Answer
from changeover.plan.model import SystemSpec
from changeover.shadow.judging import MOST_ANSWER_BYTES, answer_of
from changeover.shadow.pulse import Pulse
from changeover.shadow.tap import Exchange

SHADOW_HEADER = "x-changeover-shadow"
_NOT_FORWARDED = frozenset({
    "connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding",
    "upgrade", "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count",
})


MOST_LATE = 0.5
"""Of a call's time: when this process was late for more, the call tells nothing of the system."""


class OwnFault(Exception):
    """A call took too long because this process had no processor, not because of the system."""


class Caller:
    """Sends copies to one system over kept connections.

    Args:
        spec: The system.
        timeout: Longest wait for a whole answer, in seconds; waiting for a turn is not counted,
            since that is not the system's fault.
        concurrency: Most calls at once; fewer when the system says that it takes fewer.
        pulse: Tells how late this process is, where it must give way to others.
    """

    def __init__(
        self, spec: SystemSpec, *, timeout: float, concurrency: int, pulse: Pulse | None = None
    ) -> None:
        self._pulse = pulse or Pulse()
        concurrency = min(concurrency, spec.concurrency or concurrency)
        self._turn = asyncio.Semaphore(concurrency)
        self._url = spec.url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=timeout), auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(), requote_redirect_url=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type", "Accept"),
        )

    async def call(self, exchange: Exchange) -> Answer:
        """Return the system's answer to a copy; why there is none stands in `error`.

        Raises:
            OwnFault: There was no answer in time because this process was late itself.
        """
        async with self._turn:
            return await self._call(exchange)

    async def _call(self, exchange: Exchange) -> Answer:
        began, late = time.perf_counter(), self._pulse.late
        headers = [(k, v) for k, v in exchange.request_headers if k not in _NOT_FORWARDED]
        headers.append((SHADOW_HEADER, "1"))
        try:
            # encoded: what the user asked for goes on as it is, `%7E` stays `%7E`
            url = URL(self._url + exchange.path, encoded=True)
            async with self._session.request(
                exchange.method, url, headers=headers,
                data=exchange.request_body or None, allow_redirects=False,
            ) as answer:
                body = await _read(answer.content)
                return answer_of(
                    answer.status, answer.headers.items(), body, time.perf_counter() - began)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            duration = time.perf_counter() - began
            if isinstance(error, TimeoutError) \
                    and self._pulse.late - late > MOST_LATE * duration:
                raise OwnFault from error
            return Answer(duration=duration, error=_reason(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Return a whole body, however many parts it comes in; of one that is too large its start."""
    parts: list[bytes] = []
    size = 0
    while size <= MOST_ANSWER_BYTES and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    """Return a class of failure, without addresses or contents."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "connection broke"
    return "no valid answer"
