"""Receiving tapped exchanges from Envoy: gRPC streams in, whole exchanges out.

Envoy never waits for this service: whatever happens here, the user has the answer already.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import DecodeError

from changeover import clock
from changeover.comparison.answers import GRPC_TYPE
from changeover.comparison.encodings import readable
from changeover.domain.route_matching import Request
from changeover.shadow.frames import Broken, Call, Connection
from changeover.shadow.messages import ProcessingRequest
from changeover.shadow.wire import as_text

LOG = logging.getLogger("changeover.shadow.tap")

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
MOST_BODY_BYTES = 1_048_576
REFUSE_SECONDS = 0.01
"""How long an exchange that is not needed keeps its place among those that Envoy streams."""
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as the user sent it, with the answer that the user got.

    `path` has its query; `request_headers` have `host` instead of pseudo headers; `duration` is
    in seconds, as the gateway saw it. `is_cut` when a body was larger than the limit. Bytes that
    are not UTF-8 are halves of surrogate pairs in texts (PEP 383), so that they can be sent on.
    `recorded_host` only says which route a recorded request is of: it is sent to nobody.
    """

    method: str
    path: str
    request_headers: Headers
    request_body: bytes
    status: int
    response_headers: Headers
    response_body: bytes
    at: datetime
    duration: float
    is_cut: bool = False
    recorded_host: str = ""

    def header(self, name: str) -> str:
        """Return a request header's first value, or an empty text."""
        for key, value in self.request_headers:
            if key == name:
                return value
        return ""

    def values(self, name: str) -> list[str]:
        """Return all values of a request header, as many times as it came."""
        return [value for key, value in self.request_headers if key == name]

    @property
    def request(self) -> Request:
        """What says which route it is of, and what a system sees of it."""
        headers: dict[str, list[str]] = {}
        for name, value in self.request_headers:
            headers.setdefault(name, []).append(value)
        host = self.header("host") or self.recorded_host
        return Request(self.path, self.method, host, headers)

    @property
    def line(self) -> str:
        """The request's method and target, for people and the store."""
        return readable(f"{self.method} {self.path}")

    @property
    def request_id(self) -> str:
        """The id that the gateway gave the request."""
        return readable(self.header("x-request-id"))


@dataclass(slots=True)
class _Building:
    """An exchange of which some parts have arrived."""

    most: int
    at: datetime
    began: float = field(default_factory=time.monotonic)
    request_headers: Any = ()
    response_headers: Any = ()
    request_body: list[bytes] = field(default_factory=list)
    response_body: list[bytes] = field(default_factory=list)
    size: int = 0
    left: int = -1
    is_cut: bool = False
    has_request: bool = False
    has_response: bool = False

    def receive(self, message: Any) -> bool:
        """Add a part; return whether nothing more is needed.

        An answer may be whole before its request is (413 while the body is still being sent). Half
        a request is nothing to compare, so this waits for both ends.
        """
        if message.HasField("response_body"):
            self._append(self.response_body, message.response_body.body)
            self.left -= len(message.response_body.body)
            # The last part may be empty and only say so: not worth waiting for.
            self.has_response = message.response_body.end_of_stream or self.left == 0
        elif message.HasField("response_trailers"):
            # A call of gRPC without messages has them as headers.
            if self._is_grpc():
                trailers = message.response_trailers.trailers.headers
                self.response_headers += _plain(trailers)
            self.has_response = True
        elif message.HasField("request_body"):
            self._append(self.request_body, message.request_body.body)
            self.has_request = message.request_body.end_of_stream
        elif message.HasField("request_headers"):
            self.request_headers = _pairs(message.request_headers)
            self.has_request = message.request_headers.end_of_stream
        elif message.HasField("response_headers"):
            self.response_headers = _pairs(message.response_headers)
            self.left = _number(self.response_headers, "content-length")
            self.has_response = message.response_headers.end_of_stream
        if self.is_cut and self.response_headers:
            # The rest, perhaps gigabytes, is not even sent here.
            return True
        return self.has_request and self.has_response

    def _is_grpc(self) -> bool:
        return any(name == "content-type" and value.startswith(GRPC_TYPE)
                   for name, value in self.response_headers)

    def _append(self, parts: list[bytes], part: bytes) -> None:
        room = self.most - self.size
        if len(part) > room:
            self.is_cut = True
            part = part[:room]
        if part:
            self.size += len(part)
            parts.append(part)

    def finish(self) -> Exchange | None:
        """Return the exchange, or None when an essential part is missing."""
        pseudo = {key: value for key, value in self.request_headers if key[:1] == ":"}
        status = _number(self.response_headers, ":status")
        if ":method" not in pseudo or status < 0:
            return None
        asked = [pair for pair in self.request_headers if pair[0][:1] != ":"]
        # Envoy speaks of HTTP/1.1 in HTTP/2's words; the copy is HTTP/1.1 again.
        if ":authority" in pseudo:
            asked.insert(0, ("host", pseudo[":authority"]))
        answered = [pair for pair in self.response_headers if pair[0][:1] != ":"]
        return Exchange(
            pseudo[":method"], pseudo.get(":path", "/"), tuple(asked),
            b"".join(self.request_body), status, tuple(answered), b"".join(self.response_body),
            self.at, time.monotonic() - self.began, self.is_cut,
        )


def _pairs(headers: Any) -> Headers:
    return _plain(headers.headers.headers)


def _plain(headers: Any) -> Headers:
    return tuple((found.key, as_text(found.raw_value) or found.value) for found in headers)


def _number(headers: Headers, name: str) -> int:
    """Return a header's whole number, or -1 when it has none."""
    text = next((value for key, value in headers if key == name), "")
    # `isdigit` alone takes other scripts' digits, and Python numbers of any length.
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if is_number else -1


class TapServer:
    """The gRPC server that Envoy streams to.

    Args:
        socket: Unix socket to listen on; a stale one is removed.
        on_exchange: Called with every whole exchange, in the event loop; must not wait.
        most_body_bytes: Most bytes of both bodies of one exchange together.
        now: Tells the time at which an exchange began.
        is_wanted: Asked before an exchange is read; one that is not needed costs nearly nothing.

    `seen` counts streams, `incomplete` those that ended before the exchange was whole, and
    `oversized` exchanges that were cut.
    """

    def __init__(
        self, socket: Path, on_exchange: Callable[[Exchange], None], *,
        most_body_bytes: int = MOST_BODY_BYTES, now: Callable[[], datetime] = clock.now,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.socket = socket
        self.seen = 0
        self.incomplete = 0
        self.oversized = 0
        self._on_exchange = on_exchange
        self._most = most_body_bytes
        self._now = now
        self._is_wanted = is_wanted
        self._server: asyncio.Server | None = None
        self._own: tuple[int, int] | None = None
        self._peers: set[_Peer] = set()

    async def start(self) -> None:
        """Listen. Must be called in a running event loop."""
        # A killed service leaves its socket behind, which nobody can listen on again.
        self.socket.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        # 0600 from the first moment: users' credentials pass here.
        before = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(
                lambda: _Peer(self, self._peers), str(self.socket))
        finally:
            os.umask(before)
        self._own = self._on_disk()

    async def stop(self) -> None:
        """End all streams and remove the socket."""
        if self._server is not None:
            self._server.close()
            for peer in list(self._peers):
                peer.close()
            await self._server.wait_closed()
        # by now it may be that of a service that began since
        if self._own is not None and self._own == self._on_disk():
            self.socket.unlink(missing_ok=True)

    def _on_disk(self) -> tuple[int, int] | None:
        """Return what tells the socket at the path from others; None when there is none."""
        try:
            found = self.socket.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def open_call(self) -> Call | None:
        """Return who receives a new exchange; None when it is not needed."""
        if not self._is_wanted():
            self.seen += 1
            return None
        return _Receiving(self, _Building(self._most, self._now()))

    def finish(self, found: Exchange | None) -> None:
        """Pass on an exchange that is over; None when it was not whole."""
        self.seen += 1
        if found is None:
            self.incomplete += 1
            return
        self.oversized += found.is_cut
        self._on_exchange(found)


@dataclass(slots=True)
class _Receiving:
    """A call: the parts of one exchange."""

    server: TapServer
    building: _Building

    def receive(self, message: bytes) -> bool:
        """Add a part; return whether nothing more is needed."""
        try:
            is_whole = self.building.receive(ProcessingRequest.FromString(message))
        except DecodeError as error:
            LOG.warning("a part of an exchange cannot be read: %s", error)
            self.lose()
            return True
        if is_whole:
            self.server.finish(self.building.finish())
        return is_whole

    def lose(self) -> None:
        """The exchange stays incomplete: Envoy cancels streams that are read too slowly."""
        self.server.finish(None)


class _Peer(asyncio.Protocol):
    """A connection of Envoy's."""

    def __init__(self, server: TapServer, peers: set[_Peer]) -> None:
        self._peers = peers
        self._connection = Connection(server.open_call)
        self._transport: asyncio.Transport | None = None
        self._refusing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting."""
        self._peers.add(self)
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(Connection.greeting())

    def data_received(self, data: bytes) -> None:
        """Handle frames, and answer."""
        if self._transport is None:
            return
        try:
            answer = self._connection.receive(data)
        except Broken as error:
            LOG.warning("a connection to the tap is closed: %s", error)
            self._transport.write(Connection.farewell())
            self.close()
            return
        if answer:
            self._transport.write(answer)
        if self._connection.has_refusals and self._refusing is None:
            self._refusing = asyncio.get_running_loop().call_later(REFUSE_SECONDS, self._refuse)

    def _refuse(self) -> None:
        self._refusing = None
        if self._transport is not None:
            self._transport.write(self._connection.refusals())

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way."""
        self._peers.discard(self)
        self._transport = None
        self._connection.lose()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
