"""Connections for copies: to where users are sent, in the protocol that is spoken there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from changeover.plan.model import SystemSpec
from changeover.shadow.streams import Http2
from changeover.shadow.wire import Connection, Http1


def dialler(spec: SystemSpec, *, most_body: int) -> Callable[[], Awaitable[Connection]]:
    """Return what makes a connection to a system; it raises OSError when none can be made.

    Args:
        spec: The system.
        most_body: Bytes of a body that are read; the rest of a longer one is not received.
    """
    parts = urlsplit(spec.url)
    is_tls = parts.scheme == "https"
    address = parts.hostname or "", parts.port or (443 if is_tls else 80)
    tls = _tls(spec) if is_tls else None

    def protocol() -> Http1 | Http2:
        if spec.protocol == "http2":
            return Http2(most_body, scheme=parts.scheme)
        return Http1(most_body)

    async def connect() -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            protocol, *address, ssl=tls, server_hostname=address[0] if tls else None)
        return connection

    return connect


def _tls(spec: SystemSpec) -> ssl.SSLContext:
    found = ssl.create_default_context()
    if spec.protocol == "http2":
        found.set_alpn_protocols(["h2"])
    return found
