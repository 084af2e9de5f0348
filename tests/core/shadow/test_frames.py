"""The tap's side of HTTP/2, with h2 as the other side."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import PingAckReceived, ResponseReceived, StreamEnded, StreamReset
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame
from hypothesis import given
from hypothesis import strategies as st

from changeover.shadow import frames
from changeover.shadow.frames import MOST_CALLS, PREFACE, Broken, Connection

HEADERS = [(":method", "POST"), (":scheme", "http"), (":authority", "shadow"),
           (":path", "/envoy.service.ext_proc.v3.ExternalProcessor/Process"), ("te", "trailers")]


@dataclass
class Taken:
    """A call that wants `most` messages."""

    most: int = 3
    messages: list[bytes] = field(default_factory=list)
    is_lost: bool = False

    def receive(self, message: bytes) -> bool:
        self.messages.append(message)
        return len(self.messages) >= self.most

    def lose(self) -> None:
        self.is_lost = True


class Pair:
    """A client (h2), the connection of the tap, and the calls that came of it."""

    def __init__(self, most: int = 3) -> None:
        self.calls: list[Taken] = []
        self.most = most
        self.client = H2Connection(H2Configuration(client_side=True))
        self.server = Connection(self._open)
        self.client.initiate_connection()
        self.client.receive_data(Connection.greeting())

    def _open(self) -> Taken:
        self.calls.append(Taken(self.most))
        return self.calls[-1]

    def ask(self, *messages: bytes, ends: bool = False) -> int:
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, [*HEADERS])
        for message in messages:
            self.client.send_data(stream, framed(message))
        if ends:
            self.client.end_stream(stream)
        return stream

    def deliver(self) -> list[object]:
        """Bring what either side has to say to the other; return what the client learns."""
        answer = self.server.receive(self.client.data_to_send())
        return list(self.client.receive_data(answer)) if answer else []


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_call_is_answered_when_nothing_more_is_wanted() -> None:
    """The client learns that it succeeded, and that the rest need not be sent."""
    pair = Pair()
    stream = pair.ask(b"a", b"", b"c")
    events = pair.deliver()
    (response,) = [event for event in events if isinstance(event, ResponseReceived)]
    assert dict(response.headers) == {
        b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"0"}
    assert [type(event) for event in events[-2:]] == [StreamEnded, StreamReset]
    assert events[-1].stream_id == stream  # type: ignore[attr-defined]
    assert (pair.calls[0].messages, pair.calls[0].is_lost) == ([b"a", b"", b"c"], False)


@given(
    messages=st.lists(st.lists(st.binary(max_size=50), min_size=3, max_size=3), max_size=4),
    cuts=st.lists(st.integers(0, 3000)), size=st.integers(1, 40),
)
def test_messages_do_not_depend_on_how_their_bytes_are_cut(
    messages: list[list[bytes]], cuts: list[int], size: int
) -> None:
    """Neither on reads of the socket nor on frames, and calls may be interleaved."""
    pair = Pair()
    streams = [pair.ask() for _ in messages]
    texts = [b"".join(map(framed, each)) for each in messages]
    for begin in range(0, max(map(len, texts), default=0), size):
        for stream, text in zip(streams, texts, strict=True):
            if part := text[begin : begin + size]:
                pair.client.send_data(stream, part)
    data = pair.client.data_to_send()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(edges):
        pair.server.receive(data[begin:end])
    assert [call.messages for call in pair.calls] == messages


@pytest.mark.parametrize("how", ["ends", "resets", "breaks off"])
def test_call_that_ends_early_is_lost(how: str) -> None:
    """Whether the client ends it, cancels it, or is gone."""
    pair = Pair()
    stream = pair.ask(b"a", ends=how == "ends")
    if how == "resets":
        pair.client.reset_stream(stream)
    pair.deliver()
    if how == "breaks off":
        pair.server.lose()
    assert (pair.calls[0].messages, pair.calls[0].is_lost) == ([b"a"], True)


def test_call_that_is_not_wanted_is_answered_unread() -> None:
    """Not at once, but when the server says so; what still comes of it is thrown away."""
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    server = Connection(lambda: None)
    client.send_headers(1, HEADERS)
    client.send_data(1, framed(b"a"))
    events = client.receive_data(Connection.greeting() + server.receive(client.data_to_send()))
    assert not [event for event in events if isinstance(event, StreamReset)]
    assert server.has_refusals
    events = client.receive_data(server.refusals())
    assert [event.stream_id for event in events if isinstance(event, StreamReset)] == [1]
    assert not server.has_refusals


def test_long_bodies_never_wait_for_the_window() -> None:
    """What was read is granted again, for the call and for the connection."""
    pair = Pair(most=100)
    stream = pair.ask()
    message = framed(b"x" * 1_000_000)
    for _ in range(30):
        for begin in range(0, len(message), 16_384):
            pair.client.send_data(stream, message[begin : begin + 16_384])
            pair.deliver()
    assert [len(found) for found in pair.calls[0].messages] == [1_000_000] * 30


def test_pings_and_settings_are_answered() -> None:
    """A client that asks whether the tap lives learns that it does."""
    pair = Pair()
    pair.client.ping(b"changeov")
    assert [type(event) for event in pair.deliver()][-1] is PingAckReceived
    assert pair.server.receive(b"") == b""


def test_padding_and_continued_headers_are_understood() -> None:
    """Envoy does neither today; the protocol allows both."""
    pair = Pair(most=1)
    pair.deliver()
    parts = (HeadersFrame(1, b"x"), ContinuationFrame(1, b"y", flags=["END_HEADERS"]),
             DataFrame(1, framed(b"a"), flags=["PADDED"], pad_length=7))
    pair.server.receive(b"".join(part.serialize() for part in parts))
    assert pair.calls[0].messages == [b"a"]


def test_message_that_is_compressed_or_endless_is_lost() -> None:
    """Nothing of the kind was offered: it is not kept in memory."""
    for head in (b"\1\0\0\0\1x", b"\0\xff\xff\xff\xffx"):
        pair = Pair()
        stream = pair.ask()
        pair.client.send_data(stream, head)
        pair.deliver()
        assert (pair.calls[0].messages, pair.calls[0].is_lost) == ([], True)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n", PREFACE + b"\0\xff\xff\0\0\0\0\0\1", PREFACE + b"\0\0\1\x06\0\0\0\0\0x",
    PREFACE + b"".join(HeadersFrame(2 * n + 1, b"").serialize() for n in range(MOST_CALLS + 1)),
], ids=["another protocol", "a frame too long", "a ping too short", "too many calls"])
def test_what_is_not_allowed_breaks_the_connection(data: bytes) -> None:
    """Instead of being kept, or taken for something else."""
    with pytest.raises(Broken):
        Connection(Taken).receive(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    """No other exception ends the service."""
    connection = Connection(Taken)
    try:
        connection.receive(PREFACE + data)
    except Broken as error:
        assert str(error)
    connection.lose()
    assert frames.Connection.farewell()
