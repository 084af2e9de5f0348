"""HTTP/2 and gRPC as Envoy speaks them to the tap: frames in, whole messages out. Pure.

Every stream is one call of the only method there is, and every call gets the same few bytes as its
answer once nothing more of it is needed. So frames are all that is needed of HTTP/2. hyperframe
reads and writes them, except for the three kinds that every call has; what they mean for a call is
written here. A full HTTP/2 server costs more than the comparison itself
(docs/decisions/0012-frames-for-the-tap.md).

Source: RFC 9113 (HTTP/2); gRPC over HTTP2, as in grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST_CALLS = 256
"""Calls that may be open at once; Envoy's own limit on the tap is far below."""
MOST_FRAME_BYTES = 16_384
MOST_MESSAGE_BYTES = 16 * 1_048_576
WINDOW = 4 * 1_048_576
"""Bytes that Envoy may send ahead, for a call and for all of them together."""
# Length (24 bits), type, flags, stream.
_FRAME_HEADER = struct.Struct("!HBBBL")
_STREAM_ID = 0x7FFFFFFF
_END_STREAM, _PADDED = 0x1, 0x8
_MESSAGE_HEADER = 5  # is it compressed, and its length
_PROTOCOL_ERROR = 1


class Broken(ValueError):
    """What the peer sends is not HTTP/2: the connection cannot go on."""


class Call(Protocol):
    """Receives the messages of one call."""

    def receive(self, message: bytes) -> bool:
        """Handle a message; return whether nothing more is needed."""

    def lose(self) -> None:
        """The call is over, although more was needed."""


@dataclass(slots=True)
class _Stream:
    call: Call
    rest: bytearray = field(default_factory=bytearray)
    received: int = 0

    def feed(self, data: bytes) -> bool:
        """Handle bytes; return whether nothing more is needed."""
        # One message in one frame, as nearly all are: nothing has to be copied together.
        size = len(data) - _MESSAGE_HEADER
        is_plain = not self.rest and data[:1] == b"\0"
        if is_plain and int.from_bytes(data[1:_MESSAGE_HEADER], "big") == size:
            return self.call.receive(data[_MESSAGE_HEADER:])
        self.rest += data
        while len(self.rest) >= _MESSAGE_HEADER:
            length = int.from_bytes(self.rest[1:_MESSAGE_HEADER], "big")
            # Compressed: never offered.
            if self.rest[0] or length > MOST_MESSAGE_BYTES:
                self.call.lose()
                return True
            end = _MESSAGE_HEADER + length
            if len(self.rest) < end:
                return False
            message = bytes(self.rest[_MESSAGE_HEADER:end])
            del self.rest[:end]
            if self.call.receive(message):
                return True
        return False


class Connection:
    """One connection of Envoy's, seen from the server.

    Args:
        open_call: Returns who receives the messages of a new call. None refuses the call: it is
            not read, and answered with `refusals`.
    """

    def __init__(self, open_call: Callable[[], Call | None]) -> None:
        self._open_call = open_call
        self._streams: dict[int, _Stream] = {}
        self._rest = b""
        self._is_greeted = False
        self._received = 0
        self._answer: list[bytes] = []
        self._refused: list[int] = []

    @property
    def has_refusals(self) -> bool:
        """Whether calls were refused that are not answered yet."""
        return bool(self._refused)

    def refusals(self) -> bytes:
        """Return the answer to the calls that were refused.

        It is not sent at once: while a refused call is open, Envoy opens no other in its place, so
        that a flood of them costs little.
        """
        refused, self._refused = self._refused, []
        return b"".join(map(_done, refused))

    @staticmethod
    def greeting() -> bytes:
        """Return what the server says first."""
        settings = {
            SettingsFrame.MAX_CONCURRENT_STREAMS: MOST_CALLS,
            SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW,
            # Header blocks are not read: their table would be kept for nothing.
            SettingsFrame.HEADER_TABLE_SIZE: 0,
        }
        # The window of a call is a setting, that of the connection a frame of its own.
        ahead = WindowUpdateFrame(0, window_increment=WINDOW)
        return SettingsFrame(0, settings).serialize() + ahead.serialize()

    @staticmethod
    def farewell() -> bytes:
        """Return what the server says before it closes a connection that is broken."""
        return GoAwayFrame(0, error_code=_PROTOCOL_ERROR).serialize()

    def receive(self, data: bytes) -> bytes:
        """Handle what arrived and return what is to be sent.

        Raises:
            Broken: It is not HTTP/2, or more than is allowed.
        """
        data = self._rest + data
        position = 0
        # The preface may come in pieces; what does not begin like it is no HTTP/2.
        if not self._is_greeted:
            if data[: len(PREFACE)] != PREFACE[: len(data)]:
                raise Broken("no preface of HTTP/2")
            self._is_greeted = len(data) >= len(PREFACE)
            position = len(PREFACE) if self._is_greeted else 0
        while self._is_greeted and len(data) - position >= _FRAME_HEADER.size:
            high, low, kind, flags, stream_id = _FRAME_HEADER.unpack_from(data, position)
            begin = position + _FRAME_HEADER.size
            end = begin + (high << 8) + low
            if end - begin > MOST_FRAME_BYTES:
                raise Broken(f"a frame of {end - begin} bytes, more than {MOST_FRAME_BYTES}")
            if end > len(data):
                break
            stream_id &= _STREAM_ID
            if kind == DataFrame.type and not flags & _PADDED:
                self._data(stream_id, data[begin:end], end - begin, flags)
            elif kind == HeadersFrame.type:
                self._headers(stream_id, flags)
            elif kind == RstStreamFrame.type:
                self._gone(stream_id)
            else:
                self._handle(_parsed(data[position:end]))
            position = end
        self._rest = data[position:]
        answer, self._answer = b"".join(self._answer), []
        return answer

    def lose(self) -> None:
        """End every call: the connection is gone."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.call.lose()

    def _handle(self, frame: Frame) -> None:
        """Handle one of the rare frames."""
        is_answer = "ACK" in frame.flags
        if isinstance(frame, DataFrame):
            flags = _END_STREAM if "END_STREAM" in frame.flags else 0
            self._data(frame.stream_id, frame.data, frame.body_len, flags)
        elif isinstance(frame, SettingsFrame) and not is_answer:
            self._answer.append(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and not is_answer:
            self._answer.append(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())

    def _headers(self, stream_id: int, flags: int) -> None:
        if stream_id not in self._streams:
            if len(self._streams) + len(self._refused) >= MOST_CALLS:
                raise Broken(f"more than {MOST_CALLS} calls at once")
            call = self._open_call()
            if call is None:
                self._refused.append(stream_id)
                return
            self._streams[stream_id] = _Stream(call)
        if flags & _END_STREAM:
            self._gone(stream_id)

    def _data(self, stream_id: int, data: bytes, length: int, flags: int) -> None:
        """Handle bytes of a call; `length` includes their padding, for flow control."""
        # Granted again by halves: rarely, and before Envoy has to wait.
        self._received += length
        if self._received >= WINDOW // 2:
            self._grant(0, self._received)
            self._received = 0
        stream = self._streams.get(stream_id)
        # Answered already: Envoy had not heard of it yet.
        if stream is None:
            return
        if stream.feed(data):
            del self._streams[stream_id]
            self._answer.append(_done(stream_id))
        elif flags & _END_STREAM:
            self._gone(stream_id)
        else:
            stream.received += length
            if stream.received >= WINDOW // 2:
                self._grant(stream_id, stream.received)
                stream.received = 0

    def _gone(self, stream_id: int) -> None:
        """End a call that Envoy has ended, and answer it."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.call.lose()
            self._answer.append(_done(stream_id))

    def _grant(self, stream_id: int, number: int) -> None:
        self._answer.append(WindowUpdateFrame(stream_id, window_increment=number).serialize())


def _parsed(data: bytes) -> Frame:
    view = memoryview(data)
    try:
        frame, _ = Frame.parse_frame_header(view[: _FRAME_HEADER.size])
        frame.parse_body(view[_FRAME_HEADER.size :])
    except HyperframeError as error:
        raise Broken(str(error) or type(error).__name__) from error
    return frame


def _done(stream_id: int) -> bytes:
    """Return the answer to a call: no message, and the rest is not needed (section 8.1)."""
    number = stream_id.to_bytes(4, "big")
    return _DONE[0] + number + _DONE[1] + number + _DONE[2]


def _done_parts() -> tuple[bytes, bytes, bytes]:
    """Return what comes before, between and after the stream's number in that answer."""
    # `:status: 200` of the static table, two literals that enter no table (RFC 7541, section 6.2.2)
    block = b"\x88"
    for name, value in ((b"content-type", b"application/grpc"), (b"grpc-status", b"0")):
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    headers = HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
    reset = RstStreamFrame(1).serialize()
    return headers[:5], headers[9:] + reset[:5], reset[9:]


_DONE = _done_parts()
