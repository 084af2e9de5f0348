"""HTTP/2 and gRPC as Envoy speaks them to the tap: frames in, whole messages out. Pure.

Every stream is one call of the only method there is, and every call is answered by the same few
bytes once nothing more of it is wanted. So frames are all that is needed of HTTP/2: hyperframe reads
and writes them, what they mean for a call stands here. A whole stack for servers of any kind costs
more than the comparison itself (docs/decisions/0008-frames-for-the-tap.md).

Source: RFC 9113 (HTTP/2); gRPC over HTTP2, as in grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

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
_FRAME_HEADER = 9
_MESSAGE_HEADER = 5  # is it compressed, and its length
_PROTOCOL_ERROR = 1
# `:status: 200` of the static table, two literals that enter no table (RFC 7541, section 6.2.2)
_DONE = b"\x88" + b"".join(
    b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    for name, value in ((b"content-type", b"application/grpc"), (b"grpc-status", b"0"))
)


class Broken(ValueError):
    """What the peer sends is not HTTP/2: the connection cannot go on."""


class Call(Protocol):
    """Takes the messages of one call."""

    def take(self, message: bytes) -> bool:
        """Take a message; return whether nothing more is wanted."""

    def lose(self) -> None:
        """The call is over, though more was wanted."""


@dataclass(slots=True)
class _Stream:
    call: Call
    rest: bytearray = field(default_factory=bytearray)
    received: int = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether nothing more is wanted."""
        self.rest += data
        while len(self.rest) >= _MESSAGE_HEADER:
            length = int.from_bytes(self.rest[1:_MESSAGE_HEADER], "big")
            if self.rest[0] or length > MOST_MESSAGE_BYTES:  # compressed: never offered
                self.call.lose()
                return True
            end = _MESSAGE_HEADER + length
            if len(self.rest) < end:
                return False
            message = bytes(self.rest[_MESSAGE_HEADER:end])
            del self.rest[:end]
            if self.call.take(message):
                return True
        return False


class Connection:
    """One connection of Envoy's, seen from the server.

    Args:
        open_call: Returns who takes the messages of a new call; None answers it at once, unread.
    """

    def __init__(self, open_call: Callable[[], Call | None]) -> None:
        self._open_call = open_call
        self._streams: dict[int, _Stream] = {}
        self._rest = b""
        self._is_greeted = False
        self._received = 0
        self._answer: list[bytes] = []

    @staticmethod
    def greeting() -> bytes:
        """Return what the server says first."""
        settings = {SettingsFrame.MAX_CONCURRENT_STREAMS: MOST_CALLS,
                    SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW,
                    SettingsFrame.HEADER_TABLE_SIZE: 0}  # header blocks are not read
        return SettingsFrame(0, settings).serialize() + \
            WindowUpdateFrame(0, window_increment=WINDOW).serialize()

    @staticmethod
    def farewell() -> bytes:
        """Return what the server says before it closes a connection that is broken."""
        return GoAwayFrame(0, error_code=_PROTOCOL_ERROR).serialize()

    def receive(self, data: bytes) -> bytes:
        """Take what arrived and return what is to be sent.

        Raises:
            Broken: It is not HTTP/2, or more than was allowed.
        """
        data = self._rest + data
        position = 0
        if not self._is_greeted:
            if data[: len(PREFACE)] != PREFACE[: len(data)]:
                raise Broken("no preface of HTTP/2")
            self._is_greeted = len(data) >= len(PREFACE)
            position = len(PREFACE) if self._is_greeted else 0
        view = memoryview(data)
        while self._is_greeted and len(data) - position >= _FRAME_HEADER:
            begin = position + _FRAME_HEADER
            end = begin + int.from_bytes(view[position : position + 3], "big")
            if end - begin > MOST_FRAME_BYTES:
                raise Broken(f"a frame of {end - begin} bytes, more than {MOST_FRAME_BYTES}")
            if end > len(data):
                break
            self._take(_frame(view[position:begin], view[begin:end]))
            position = end
        self._rest = data[position:]
        answer, self._answer = b"".join(self._answer), []
        return answer

    def lose(self) -> None:
        """End every call: the connection is gone."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.call.lose()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, DataFrame):
            self._data(frame)
        elif isinstance(frame, HeadersFrame):
            self._headers(frame)
        elif isinstance(frame, RstStreamFrame):
            self._gone(frame.stream_id)
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self._answer.append(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._answer.append(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())

    def _headers(self, frame: HeadersFrame) -> None:
        if frame.stream_id not in self._streams:
            if len(self._streams) >= MOST_CALLS:
                raise Broken(f"more than {MOST_CALLS} calls at once")
            call = self._open_call()
            if call is None:
                self._answer.append(_done(frame.stream_id))
                return
            self._streams[frame.stream_id] = _Stream(call)
        if "END_STREAM" in frame.flags:
            self._gone(frame.stream_id)

    def _data(self, frame: DataFrame) -> None:
        self._received += frame.body_len
        if self._received >= WINDOW // 2:
            self._grant(0, self._received)
            self._received = 0
        stream = self._streams.get(frame.stream_id)
        if stream is None:  # answered already: Envoy had not heard of it yet
            return
        if stream.feed(frame.data):
            del self._streams[frame.stream_id]
            self._answer.append(_done(frame.stream_id))
        elif "END_STREAM" in frame.flags:
            self._gone(frame.stream_id)
        else:
            stream.received += frame.body_len
            if stream.received >= WINDOW // 2:
                self._grant(frame.stream_id, stream.received)
                stream.received = 0

    def _gone(self, stream_id: int) -> None:
        """End a call that Envoy has ended; one that it closed properly is answered."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.call.lose()
            self._answer.append(_done(stream_id))

    def _grant(self, stream_id: int, number: int) -> None:
        self._answer.append(WindowUpdateFrame(stream_id, window_increment=number).serialize())


def _frame(header: memoryview, body: memoryview) -> Frame:
    try:
        frame, _ = Frame.parse_frame_header(header)
        frame.parse_body(body)
    except HyperframeError as error:
        raise Broken(str(error) or type(error).__name__) from error
    return frame


def _done(stream_id: int) -> bytes:
    """Return the answer to a call: no message, and that the rest is not wanted (section 8.1)."""
    headers = HeadersFrame(stream_id, _DONE, flags=["END_HEADERS", "END_STREAM"])
    return headers.serialize() + RstStreamFrame(stream_id).serialize()
