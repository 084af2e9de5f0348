"""Connections for copies and load: to where users are sent, as the plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from changeover.gateway import reaching
from changeover.plan.endpoint import Place
from changeover.plan.systems import SystemSpec
from changeover.shadow.streams import Http2
from changeover.shadow.wire import CONNECT_SECONDS, Connection, Http1

P = TypeVar("P", bound=asyncio.Protocol)


def dialler(spec: SystemSpec, *, most_body: int) -> Callable[[], Awaitable[Connection]]:
    """Return what makes a connection to a system; it raises OSError when none can be made.

    Args:
        spec: The system.
        most_body: Bytes of a body that are read; the rest of a longer one is not received.
    """
    if spec.protocol == "http2":
        return connector(spec, lambda: Http2(most_body, scheme="https" if spec.is_tls else "http"))
    return connector(spec, lambda: Http1(most_body))


def connector(spec: SystemSpec, protocol: Callable[[], P]) -> Callable[[], Awaitable[P]]:
    """Return what makes a connection to a system; it raises OSError when none can be made.

    Args:
        spec: The system.
        protocol: Makes what handles a connection.
    """
    tls = reaching.fresh_tls(spec)

    async def connect_to(place: Place) -> P:
        loop = asyncio.get_running_loop()
        if place.socket:
            _, connection = await loop.create_unix_connection(protocol, place.socket)
            return connection
        _, connection = await loop.create_connection(
            protocol, place.host, place.port, ssl=tls.newest() if spec.is_tls else None,
            server_hostname=spec.server_name if spec.is_tls else None)
        return connection

    return partial(_connected, _Places([partial(connect_to, place) for place in spec.places]))


@dataclass
class _Places(Generic[P]):
    """Ways to a system, and which of them took the last connection."""

    ways: list[Callable[[], Awaitable[P]]]
    good: int = 0


async def _connected(places: _Places[P]) -> P:
    """Connect to the address that took the last connection, else to another one.

    Each has its share of the time: a host that is switched off answers nothing at all.
    """
    ways, first = places.ways, places.good
    problem: OSError = ConnectionRefusedError("no address")
    for number in (*range(first, len(ways)), *range(first)):
        try:
            async with asyncio.timeout(CONNECT_SECONDS / len(ways)):
                connection: P = await ways[number]()
        except OSError as error:
            problem = error
        else:
            places.good = number
            return connection
    raise problem
