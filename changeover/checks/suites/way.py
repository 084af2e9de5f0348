"""How load reaches a host, as the gateway does: its protocol, its addresses by weight, its trust.

Neighbour: `changeover.gateway.reaching` is the same for httpx, which is too slow for load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from changeover.checks.suites.multiplexed import Answer, Lost, Multiplexed, Pool, Unprocessed
from changeover.gateway import reaching
from changeover.gateway.transport import NO_MESSAGE, grpc_health
from changeover.machine import trust
from changeover.plan.endpoint import GRPC_HEALTH, Place
from changeover.plan.load_requests import Asked
from changeover.plan.systems import SystemSpec
from changeover.shadow.dialling import connector
from changeover.shadow.wire import Invalid, Refused

LEFT_OUT_SECONDS = 5.0
"""How long an address that took no connection is not asked while another one is there."""
_SAID = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "changeover"}
NO_CONNECTION, LATE = "no connection", "no answer in time"


MOST_AGAIN = 3
"""How often a request is sent again that a system says it did not process."""


class Failed(Exception):
    """No answer came, or none in time.

    Args:
        why: In a few words, without what differs from request to request; failures are counted
            by it.
        text: The error.
    """

    def __init__(self, why: str, text: str = "") -> None:
        super().__init__(text or why)
        self.why = why


class Session(Protocol):
    """A client for load: without a limit of connections, and without a proxy."""

    sent_again: int
    """Requests that were sent again because the system did not process them."""

    async def ask(self, asked: Asked, headers: Mapping[str, str] | None = None) -> int:
        """Send a request, read its answer to the end, and return its status.

        Args:
            asked: The request; its path, with query, is below the host's own.
            headers: Further headers, which go before its own.

        Raises:
            Failed: No whole answer came in time.
        """


class Way(Protocol):
    """Where load goes, and how."""

    def session(self, longest: float) -> AbstractAsyncContextManager[Session]:
        """Return a client.

        Args:
            longest: Seconds after which a request has failed.
        """


class Turns:
    """Whose turn it is: each address as often as its weight says, evenly mixed.

    Args:
        places: The addresses.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._credit = [0] * len(places)
        self._left_out = [0.0] * len(places)

    def order(self) -> list[int]:
        """Return the numbers of the addresses in the order in which a request tries them.

        The first has its turn; the others are for when it takes no connection, those last that took
        none lately.
        """
        for number, place in enumerate(self._places):
            self._credit[number] += place.weight
        order = sorted(range(len(self._places)), key=lambda each: -self._credit[each])
        now = time.monotonic()
        order.sort(key=lambda each: self._left_out[each] > now)
        self._credit[order[0]] -= sum(place.weight for place in self._places)
        return order

    def leave_out(self, number: int) -> None:
        """Remember that an address took no connection."""
        self._left_out[number] = time.monotonic() + LEFT_OUT_SECONDS


@dataclass(frozen=True, slots=True)
class Http1Way:
    """HTTP/1.1 to a system or to the gateway.

    Args:
        url: What stands before each path.
        tls: How its certificate is verified; None: by the machine's authorities.
        system: The system; None: the gateway, whose address says everything.
    """

    url: str
    tls: trust.Fresh | None = None
    system: SystemSpec | None = None

    @classmethod
    def of(cls, system: SystemSpec) -> Http1Way:
        """Return the way to a system."""
        tls = reaching.fresh_tls(system) if system.is_tls and not system.is_plain else None
        return cls(reaching.address(system), tls, system)

    @asynccontextmanager
    async def session(self, longest: float) -> AsyncIterator[Session]:
        """Yield a client (see `Way`)."""
        # A limit of connections would make requests wait for earlier ones.
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=0)
        if self.system is not None and self.system.socket_path:
            connector = aiohttp.UnixConnector(self.system.socket_path, limit=0)
        bases = self._bases()
        timeout = aiohttp.ClientTimeout(total=longest, sock_connect=longest / len(bases))
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, trust_env=False, headers=self._headers()
        ) as client:
            yield _Http1(self, client, bases)

    def options(self) -> dict[str, Any]:
        """Return what a request is sent with; raises OSError when a file cannot be read."""
        found: dict[str, Any] = {"ssl": self.tls.newest()} if self.tls is not None else {}
        if self.system is not None and self.system.is_tls and not self.system.is_plain:
            found["server_hostname"] = self.system.server_name
        return found

    def places(self) -> tuple[Place, ...]:
        """Return the addresses between which requests are shared."""
        is_one = self.system is None or self.system.addresses is None
        return (Place(),) if is_one or self.system is None else self.system.places

    def _bases(self) -> list[str]:
        """Return what stands before a path at each address."""
        if self.system is None or self.system.addresses is None:
            return [self.url]
        parts = urlsplit(self.url)
        return [f"{parts.scheme}://{place.title}{parts.path}" for place in self.system.places]

    def _headers(self) -> dict[str, str]:
        if self.system is None or (self.system.addresses is None and not self.system.own_host):
            return {}
        return {"host": reaching.authority(self.system)}


class _Http1:
    def __init__(self, way: Http1Way, client: aiohttp.ClientSession, bases: list[str]) -> None:
        self._way, self._client, self._bases = way, client, bases
        self._turns = Turns(way.places())
        self.sent_again = 0

    async def ask(self, asked: Asked, headers: Mapping[str, str] | None = None) -> int:
        problem: Exception | None = None
        for number in self._turns.order():
            try:
                async with self._client.request(
                    asked.method, self._bases[number] + asked.path, data=asked.body or None,
                    headers={**dict(asked.headers), **(headers or {})},
                    # another request than the plan names must not follow from one that writes
                    allow_redirects=asked.method == "GET", **self._way.options()
                ) as answer:
                    await answer.read()
                    return answer.status
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                self._turns.leave_out(number)
                problem = error
            except TimeoutError as error:
                raise Failed(LATE, str(error)) from error
            except (aiohttp.ClientError, OSError) as error:
                raise Failed("the connection broke", str(error)) from error
        raise Failed(NO_CONNECTION, str(problem)) from problem


@dataclass(frozen=True, slots=True)
class Http2Way:
    """HTTP/2 to a system: many requests at a time on each connection.

    Args:
        system: The system.
    """

    system: SystemSpec

    @asynccontextmanager
    async def session(self, longest: float) -> AsyncIterator[Session]:
        """Yield a client (see `Way`)."""
        found = _Http2(self.system, longest)
        try:
            yield found
        finally:
            await found.close()


class _Http2:
    def __init__(self, system: SystemSpec, longest: float) -> None:
        self._system, self._longest = system, longest
        self._turns = Turns(system.places)
        # each address has connections of its own: those of one would get all requests
        ways = [system] if system.addresses is None else [
            system.model_copy(update={"addresses": [each]}) for each in system.addresses]
        scheme = "https" if system.is_tls else "http"
        self._pools = [Pool(connector(each, lambda: Multiplexed(scheme))) for each in ways]
        self.sent_again = 0

    async def ask(self, asked: Asked, headers: Mapping[str, str] | None = None) -> int:
        # of a path alone it is the one method of gRPC that can be asked
        is_health = asked.method == "GET" and asked.path.endswith(GRPC_HEALTH)
        if is_health:
            kind = (("content-type", "application/grpc"), ("te", "trailers"))
            asked = Asked(asked.path, "POST", kind, NO_MESSAGE)
        said = list({**_SAID, **dict(asked.headers), **(headers or {})}.items())
        try:
            async with asyncio.timeout(self._longest):
                found = await self._at_an_address(asked, said)
        except TimeoutError as error:
            raise Failed(LATE) from error
        except Lost as error:
            raise Failed(str(error)) from error
        except (Invalid, OSError, ValueError) as error:
            raise Failed("the connection broke", str(error)) from error
        return grpc_health(found.status, found.body) if is_health else found.status

    async def _at_an_address(self, asked: Asked, said: list[tuple[str, str]]) -> Answer:
        problem: Exception | None = None
        for number in self._turns.order():
            try:
                return await self._at(self._pools[number], asked, said)
            except Refused as error:
                self._turns.leave_out(number)
                problem = error
        raise Failed(NO_CONNECTION, str(problem)) from problem

    async def _at(self, pool: Pool, asked: Asked, said: list[tuple[str, str]]) -> Answer:
        """Ask one address; what it did not process, or cannot have seen, is sent again."""
        authority, target = reaching.authority(self._system), self._system.base_path + asked.path
        for again in range(MOST_AGAIN + 1):
            connection = await pool.free()
            try:
                return await connection.ask(asked, said, authority, target)
            except Unprocessed as error:
                if again == MOST_AGAIN:
                    raise Failed(f"not processed: {error}") from error
            except Lost as error:
                if again or not (error.was_idle and asked.is_safe):
                    raise
            self.sent_again += 1
        raise AssertionError

    async def close(self) -> None:
        for pool in self._pools:
            await pool.close()
