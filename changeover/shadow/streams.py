"""HTTP/2 towards one system, for copies: one stream at a time on each connection.

The frames are h2's; headers stay the bytes that they were. Neighbour: `changeover.shadow.wire` has
HTTP/1.1, and keeps connections for their next request.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from changeover.shadow.goodbye import Frames, begin
from changeover.shadow.wire import Broke, Invalid, Received, Sent, as_bytes

_GRPC = "application/grpc"


class Http2(asyncio.Protocol):
    """One connection of HTTP/2.

    Args:
        most: Bytes of a body that are read; the rest of a longer one is not received.
        scheme: `http` or `https`, which every request names.
    """

    def __init__(self, most: int, *, scheme: str) -> None:
        self.used = time.monotonic()
        self.is_reusable = False
        self.has_begun = False
        self._most, self._scheme = most, scheme
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Received] | None = None
        self._unsent, self._stream = b"", 0
        self._received, self._is_ending = Frames(), False
        self._found = Received()
        self._parts: list[bytes] = []
        self._size = 0
        self._frames = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding=None,
            # A copy has the bytes that the user sent, whatever they are.
            validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=False, normalize_inbound_headers=False))

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: Sent) -> Received:
        """Send a request and wait for its answer.

        Raises:
            Broke: The connection or the stream ended before the answer did.
            Invalid: What came is not HTTP/2.
        """
        self.is_reusable = self.has_begun = False
        if self._transport is None:
            raise Broke
        self._found = Received()
        self._parts, self._size = [], 0
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._stream = self._frames.get_next_available_stream_id()
            self._frames.send_headers(
                self._stream, self._headers(request), end_stream=not request.body)
        except h2.exceptions.ProtocolError as error:
            raise Broke from error
        self._unsent = request.body
        self._send_on()
        return await self._waiter

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _headers(self, request: Sent) -> list[tuple[bytes, bytes]]:
        own = {name.lower(): value for name, value in request.headers}
        found = [(":method", request.method), (":scheme", self._scheme),
                 (":authority", own.get("host", "")), (":path", request.target)]
        found += [(name.lower(), value) for name, value in request.headers
                  if name.lower() != "host"]
        # The gateway's filters never show it, and servers of gRPC refuse calls without it.
        if own.get("content-type", "").startswith(_GRPC):
            found.append(("te", "trailers"))
        return [(as_bytes(name), as_bytes(value)) for name, value in found]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2, with windows in which any answer fits."""
        self._transport = cast("asyncio.Transport", transport)
        begin(self._frames)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle frames."""
        # As a frame this would announce megabytes, which nobody would wait for in vain.
        if data.startswith(b"HTTP/1."):
            self._fail(Invalid("HTTP/1 in place of HTTP/2"))
            return
        for part in self._received.cut(data):
            if isinstance(part, int):
                self._going_away(part)
                continue
            try:
                events = self._frames.receive_data(part)
            except h2.exceptions.ProtocolError as error:
                self._flush()
                self._fail(Invalid(str(error)))
                return
            for event in events:
                self._handle(event)
        self._send_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that is not whole."""
        self._transport = None
        self._fail(Broke())

    def _going_away(self, last: int) -> None:
        """Use the connection no more; what the system has is still answered."""
        self._is_ending = True
        if self._waiter is None or self._waiter.done() or self._stream > last:
            self.close()

    def _handle(self, event: h2.events.Event) -> None:
        if getattr(event, "stream_id", None) != self._stream:
            return
        if isinstance(event, h2.events.ResponseReceived):
            self._begin(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._add(event)
        elif isinstance(event, h2.events.TrailersReceived):
            self._found.headers += event.headers if self._is_grpc() else []
        elif isinstance(event, h2.events.StreamEnded):
            self._finish()
        elif isinstance(event, h2.events.StreamReset):
            # Not wanting the rest of the request is no failure, once the answer is there.
            self._fail(Broke())

    def _begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.has_begun = True
        for name, value in headers:
            if name == b":status":
                self._found.status = int(value)
            elif not name.startswith(b":"):
                self._found.headers.append((name, value))

    def _is_grpc(self) -> bool:
        return any(name == b"content-type" and value.startswith(_GRPC.encode())
                   for name, value in self._found.headers)

    def _add(self, event: h2.events.DataReceived) -> None:
        data = event.data or b""
        room = self._most - self._size
        self._parts.append(data[:room])
        self._size += min(len(data), room)
        # What is read is given back at once: the window is as large as any answer.
        if event.flow_controlled_length:
            self._frames.acknowledge_received_data(event.flow_controlled_length, self._stream)
        if len(data) > room:
            # Its beginning is enough to say that it is too large.
            self._frames.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            self._finish(is_reusable=False)

    def _send_on(self) -> None:
        """Send as much of the body as the system's window takes."""
        while self._unsent:
            try:
                room = min(self._frames.local_flow_control_window(self._stream),
                           self._frames.max_outbound_frame_size)
                if room <= 0:
                    break
                part, self._unsent = self._unsent[:room], self._unsent[room:]
                self._frames.send_data(self._stream, part, end_stream=not self._unsent)
            except h2.exceptions.ProtocolError:
                # The system has answered and wants no more of it.
                self._unsent = b""
        self._flush()

    def _flush(self) -> None:
        data = self._frames.data_to_send()
        if data and self.is_open and self._transport is not None:
            self._transport.write(data)

    def _finish(self, *, is_reusable: bool = True) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self.used = time.monotonic()
        self.is_reusable = is_reusable and not self._unsent and not self._is_ending
        self._found.body = b"".join(self._parts)
        self._waiter.set_result(self._found)

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
