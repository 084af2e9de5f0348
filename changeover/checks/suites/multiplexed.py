"""HTTP/2 for load: many requests at a time on each connection, each a stream that fails alone.

The frames are h2's. Neighbour: `changeover.shadow.streams` has one stream at a time, byte for byte,
for copies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from changeover.plan.load_requests import Asked
from changeover.shadow.goodbye import Frames, begin
from changeover.shadow.wire import Invalid, Refused

STREAMS = 100
"""Requests at a time on one connection; fewer where the system says so."""
CONNECT_SECONDS = 10.0
_KEPT = 1024
"""Bytes of an answer's body that are kept: enough for gRPC's health."""

Headers = list[tuple[str, str]]


class Unprocessed(Exception):
    """The system says that it did not act on the request: it may be sent again, whatever it is."""


class Lost(Exception):
    """The stream or its connection ended before the answer did.

    Args:
        why: In a few words, for the count of failures.
        was_idle: Whether the connection had been idle before, and nothing came: the system may
            have closed it before it saw the request.
    """

    def __init__(self, why: str, *, was_idle: bool = False) -> None:
        super().__init__(why)
        self.was_idle = was_idle


@dataclass(slots=True)
class Answer:
    """An answer: its status, and the beginning of its body."""

    status: int = 0
    body: bytes = b""


@dataclass(slots=True)
class _Stream:
    waiter: asyncio.Future[Answer]
    unsent: bytes
    was_idle: bool
    answer: Answer = field(default_factory=Answer)


class Multiplexed(asyncio.Protocol):
    """One connection.

    Args:
        scheme: `http` or `https`, which every request names.
    """

    def __init__(self, scheme: str) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the system's settings came."""
        self._scheme = scheme
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._is_ending, self._answered, self._received = False, 0, Frames()
        self._frames = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_inbound_headers=False,
            normalize_inbound_headers=False))

    @property
    def is_usable(self) -> bool:
        """Whether new requests may be sent on it, now or when another one is answered."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and not self._is_ending

    @property
    def has_room(self) -> bool:
        """Whether a request can be sent now."""
        most = min(STREAMS, self._frames.remote_settings.max_concurrent_streams)
        return self.is_usable and len(self._streams) < most

    async def ask(self, asked: Asked, headers: Headers, authority: str, target: str) -> Answer:
        """Send a request on a stream of its own and return its answer.

        Raises:
            Unprocessed: The system refused the stream, or ended the connection before it.
            Lost: The stream or the connection ended.
        """
        found = [(":method", asked.method), (":scheme", self._scheme),
                 (":authority", authority), (":path", target), *headers]
        if asked.body:
            found.append(("content-length", str(len(asked.body))))
        try:
            number = self._frames.get_next_available_stream_id()
            self._frames.send_headers(number, found, end_stream=not asked.body)
        except (h2.exceptions.NoAvailableStreamIDError, h2.exceptions.TooManyStreamsError) as full:
            self._is_ending = isinstance(full, h2.exceptions.NoAvailableStreamIDError)
            raise Unprocessed("no stream was free") from full
        except h2.exceptions.ProtocolError as error:
            raise Lost(f"HTTP/2: {error}") from error
        was_idle = self._answered > 0 and not self._streams
        stream = _Stream(asyncio.get_running_loop().create_future(), asked.body, was_idle)
        self._streams[number] = stream
        self._send_on()
        try:
            return await stream.waiter
        except asyncio.CancelledError:
            # nobody waits for it any more, and the system need not go on
            self._reset(number)
            raise
        finally:
            self._streams.pop(number, None)
            self._end_when_done()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2, with windows in which any answer fits."""
        self._transport = cast("asyncio.Transport", transport)
        begin(self._frames)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle frames."""
        if not self.ready.done() and data.startswith(b"HTTP/1."):
            self._fail_all(Invalid("HTTP/1 in place of HTTP/2"))
            return
        for part in self._received.cut(data):
            if isinstance(part, int):
                self._going_away(part)
            else:
                self._take(part)
        self._send_on()
        self._end_when_done()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is not answered."""
        self._transport = None
        for stream in list(self._streams.values()):
            is_silent = stream.was_idle and not stream.answer.status
            _fail(stream, Lost("the connection ended", was_idle=is_silent))
        self._fail_all(Lost("the connection ended"))

    def _take(self, data: bytes) -> None:
        try:
            events = self._frames.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._flush()
            self._fail_all(Invalid(f"HTTP/2: {error}"))
            self.close()
            return
        for event in events:
            self._handle(event)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged) and not self.ready.done():
            self.ready.set_result(None)
        if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
            # given back at once, also of a stream that nobody waits for
            self._frames.acknowledge_received_data(
                event.flow_controlled_length, event.stream_id)
        number = getattr(event, "stream_id", None) or 0
        stream = self._streams.get(number)
        if stream is None or stream.waiter.done():
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.answer.status = int(dict(event.headers or [])[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.answer.body += (event.data or b"")[:_KEPT - len(stream.answer.body)]
        elif isinstance(event, h2.events.StreamEnded):
            self._answered += 1
            if stream.unsent:
                self._reset(number)
            stream.waiter.set_result(stream.answer)
        elif isinstance(event, h2.events.StreamReset):
            _fail(stream, _reset_as(event.error_code))

    def _going_away(self, last: int) -> None:
        """Send nothing more on this connection; what it did not get is asked elsewhere."""
        self._is_ending = True
        for number, stream in list(self._streams.items()):
            if number > last:
                _fail(stream, Unprocessed("GOAWAY before it"))

    def _end_when_done(self) -> None:
        if self._is_ending and not self._streams:
            self.close()

    def _reset(self, number: int) -> None:
        """Tell the system that a stream is over."""
        try:
            self._frames.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            return  # it has ended by itself
        self._flush()

    def _send_on(self) -> None:
        """Send as much of the bodies as the system's windows take."""
        for number, stream in self._streams.items():
            while stream.unsent and not stream.waiter.done():
                try:
                    room = min(self._frames.local_flow_control_window(number),
                               self._frames.max_outbound_frame_size)
                    if room <= 0:
                        break
                    part, stream.unsent = stream.unsent[:room], stream.unsent[room:]
                    self._frames.send_data(number, part, end_stream=not stream.unsent)
                except h2.exceptions.ProtocolError:
                    stream.unsent = b""  # the system has answered and wants no more of it
        self._flush()

    def _flush(self) -> None:
        data = self._frames.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail_all(self, error: Exception) -> None:
        self._is_ending = True
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # read: else asyncio warns when nobody waits for it
        for stream in list(self._streams.values()):
            _fail(stream, error)


def _read(task: asyncio.Task[None]) -> None:
    """Read a task's error: those who waited for it may be gone."""
    if not task.cancelled():
        task.exception()


def _fail(stream: _Stream, error: Exception) -> None:
    if not stream.waiter.done():
        stream.waiter.set_exception(error)


def _reset_as(code: object) -> Exception:
    """Return what a stream's reset means."""
    if code == h2.errors.ErrorCodes.REFUSED_STREAM:
        return Unprocessed("REFUSED_STREAM")
    name = code.name if isinstance(code, h2.errors.ErrorCodes) else f"{code}"
    return Lost(f"RST_STREAM {name}")


class Pool:
    """Connections to one address: another one is made when those that are there are full.

    Args:
        make: Makes a connection; it raises OSError when none can be made.
    """

    def __init__(self, make: Callable[[], Awaitable[Multiplexed]]) -> None:
        self._make = make
        self._connections: list[Multiplexed] = []
        self._making: asyncio.Task[None] | None = None

    async def free(self) -> Multiplexed:
        """Return a connection that has room; the caller uses it before it waits for anything.

        Raises:
            Refused: No connection.
            Invalid: What listens does not speak HTTP/2.
            Lost: It ended before it said anything.
        """
        while True:
            self._connections = [each for each in self._connections if each.is_usable]
            for each in self._connections:
                if each.has_room:
                    return each
            # one at a time: those who wait share it
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._add())
                self._making.add_done_callback(_read)
            await asyncio.shield(self._making)

    async def close(self) -> None:
        """Close all connections."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        for each in self._connections:
            each.close()

    async def _add(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._make()
        except OSError as error:  # TimeoutError, too
            raise Refused(str(error) or "no connection in time") from error
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await found.ready
        except BaseException as error:
            found.close()
            if isinstance(error, TimeoutError):
                raise Lost("no HTTP/2 settings came") from error
            raise
        self._connections.append(found)
