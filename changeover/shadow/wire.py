"""HTTP towards one system, byte for byte: a copy is exactly the request that the user sent.

Client libraries tidy up what they send: they drop an empty query, encode blanks, and refuse header
bytes that are not UTF-8. So the bytes are written here; answers are parsed by llhttp. It does
nothing else: no redirects, no cookies, no decoding. Neighbour: `changeover.shadow.streams` has
HTTP/2.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import httptools

IDLE_SECONDS = 4.0
"""How long a connection may wait for its next request: servers close theirs after five."""
MOST_HEADER_BYTES = 1 << 20
CONNECT_SECONDS = 10.0


class Broke(Exception):
    """The connection ended before the answer did."""


class Refused(Exception):
    """No connection could be made."""


class Invalid(Exception):
    """What came is not an HTTP/1 answer."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it is sent.

    Args:
        method: As GET.
        target: Path with query.
        headers: In order, `host` among them, with a length where there is a body.
        body: Its body.

    Raises:
        ValueError: A part has a line end in it, which would make it two lines.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""

    def __post_init__(self) -> None:
        for part in (self.method, self.target, *(text for pair in self.headers for text in pair)):
            if "\r" in part or "\n" in part or "\0" in part:
                raise ValueError("a line end in a request's head")

    def as_http1(self) -> bytes:
        """Return its bytes in HTTP/1.1."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        for name, value in self.headers:
            lines.append(f"{name}: {value}")
        return as_bytes("\r\n".join(lines)) + b"\r\n\r\n" + self.body


@dataclass(slots=True)
class Received:
    """An answer as it came, with the beginning of a body that is longer than the limit."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


def as_bytes(text: str) -> bytes:
    """Return the bytes that a text stands for, also those that were not UTF-8 (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def as_text(data: bytes) -> str:
    """Return the text that `as_bytes` turns into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


class Connection(Protocol):
    """One connection; one request at a time."""

    used: float
    is_reusable: bool

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""

    @property
    def has_begun(self) -> bool:
        """Whether a part of the present answer has come."""

    async def ask(self, request: Sent) -> Received:
        """Send a request and wait for its answer."""

    def close(self) -> None:
        """Close at once."""


class Wire:
    """Connections to one system, reused while they are good.

    Args:
        make: Makes a connection.
    """

    def __init__(self, make: Callable[[], Awaitable[Connection]]) -> None:
        self._make = make
        self._idle: list[Connection] = []

    async def ask(self, request: Sent, *, is_safe: bool) -> Received:
        """Send a request and return the answer.

        A reused connection that ends before the first byte of an answer was closed by the system
        while it was idle: a safe request is sent once more, over a new connection.

        Raises:
            Refused: No connection.
            Broke: It ended within the answer.
            Invalid: What came is not an answer.
        """
        idle = self._pop_idle()
        if idle is not None:
            try:
                return await self._over(idle, request)
            except Broke:
                if not is_safe or idle.has_begun:
                    raise
        return await self._over(await self._connect(), request)

    async def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _over(self, connection: Connection, request: Sent) -> Received:
        try:
            found = await connection.ask(request)
        # Also when the caller's time is over: an answer may still come, to whoever asks next.
        except BaseException:
            connection.close()
            raise
        # Reusing one saves a handshake for each copy, and the system sockets.
        if connection.is_reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return found

    def _pop_idle(self) -> Connection | None:
        """Return an idle connection that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and time.monotonic() - connection.used < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._make()
        # An OSError, too, but "timeout" says more than "no connection".
        except TimeoutError:
            raise
        except OSError as error:
            raise Refused(str(error)) from error


class Http1(asyncio.Protocol):
    """One connection of HTTP/1.1.

    Args:
        most: Bytes of a body that are read; the rest of a longer one is not received.
    """

    def __init__(self, most: int) -> None:
        self.used = time.monotonic()
        self.is_reusable = False
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._reading: _Reading | None = None
        self._waiter: asyncio.Future[Received] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def has_begun(self) -> bool:
        """Whether a part of the present answer has come."""
        return self._reading is not None and self._reading.has_begun

    async def ask(self, request: Sent) -> Received:
        """Send a request and wait for its answer."""
        self.is_reusable, self._reading = False, None
        if self._transport is None:
            raise Broke
        self._reading = _Reading(self._most, is_head=request.method == "HEAD")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request.as_http1())
        return await self._waiter

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Handle a part of an answer."""
        if self._reading is None or self._waiter is None or self._waiter.done():
            # Nobody asked for it: it would answer whatever is asked next.
            self.close()
            return
        try:
            self._reading.feed(data)
        except Invalid as error:
            self._waiter.set_exception(error)
            return
        if self._reading.is_over:
            self._finish(is_reusable=self._reading.may_go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer: whole when it has no length of its own, else broken."""
        self._transport = None
        if self._reading is None or self._waiter is None or self._waiter.done():
            return
        # Without a length of its own an answer ends where its connection does (RFC 9112, 6.3).
        if exc is None and self._reading.end_with_connection():
            self._finish(is_reusable=False)
        else:
            self._waiter.set_exception(Broke())

    def _finish(self, *, is_reusable: bool) -> None:
        if self._waiter is not None and self._reading is not None:
            self.is_reusable, self.used = is_reusable, time.monotonic()
            self._waiter.set_result(self._reading.found)


class _Reading:
    """An answer of which some parts have arrived; the parser calls the `on_` methods."""

    def __init__(self, most: int, *, is_head: bool) -> None:
        self.found = Received()
        self.is_over = False
        self.has_begun = False
        self.may_go_on = False
        self._most = most
        self._is_head = is_head
        self._is_framed = self._has_head = False
        self._size = self._received = 0
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def end_with_connection(self) -> bool:
        """End an answer that ends with its connection; return whether it is whole."""
        is_whole = self._has_head and not self._is_framed
        if is_whole:
            self._close_body()
        return is_whole

    def feed(self, data: bytes) -> None:
        """Parse a part.

        Raises:
            Invalid: It is not part of an answer.
        """
        self.has_begun = True
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # 101: the connection speaks something else from now on.
            self._end()
        except httptools.HttpParserError as error:
            if not self.is_over:
                raise Invalid(str(error)) from error
            self.may_go_on = False
        if not self._has_head and self._received > MOST_HEADER_BYTES:
            raise Invalid("the head of the answer is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers do not count."""
        if not self._has_head:
            self.found.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; so is the answer when it can have no body."""
        self.found.status = self._parser.get_status_code()
        if self.found.status < 200 and self.found.status != 101:
            # An early hint: the answer is still to come.
            self.found.headers.clear()
            return
        self._has_head = True
        names = {name.lower(): value.lower() for name, value in self.found.headers}
        self._is_framed = b"content-length" in names or b"transfer-encoding" in names
        # The parser does not know the request: it would wait for the body that HEAD never gets.
        if self._is_head:
            self._end(may_go_on=self._is_framed and self._parser.should_keep_alive())

    def on_body(self, part: bytes) -> None:
        """Add a part of the body; when it is too long the answer is over."""
        if self.is_over:
            self.may_go_on = False
            return
        # Its beginning is enough to say that it is too large.
        room = self._most - self._size
        self._parts.append(part[:room])
        self._size += min(len(part), room)
        if len(part) > room:
            self._end()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._has_head and not self.is_over:
            self._end(may_go_on=self._parser.should_keep_alive())

    def _end(self, *, may_go_on: bool = False) -> None:
        self.is_over, self.may_go_on = True, may_go_on
        self._close_body()

    def _close_body(self) -> None:
        self.found.body = b"".join(self._parts)
