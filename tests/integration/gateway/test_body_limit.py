"""Bodies in chunks are ended as soon as they are too large; all others pass piece by piece."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h2.connection
import h2.events
import pytest

from changeover.gateway.accesslog import Entry, classify, refusal
from changeover.gateway.tailer import Tailer
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import plan_of, serving
from tests.integration.gateway.wire import END, Reader, WireSystem
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration

LIMIT = 100_000
HEAD = b"POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LAST = b"0\r\n\r\n"


@contextmanager
def _limited(port: int, folder: Path) -> Iterator[Bench]:
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                   {"url": f"http://127.0.0.1:{port}"},
                   routing={"limits": {"body": f"{LIMIT}B"}})
    with serving(plan, folder) as bench:
        yield bench


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[tuple[Bench, WireSystem]]:
    """Everyone at a candidate that reads bodies to their end, then answers."""
    system = WireSystem()
    system.answer = ANSWER
    with system.serving() as port, _limited(port, tmp_path) as bench:
        yield bench, system


def _connect(bench: Bench) -> socket.socket:
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), LONGEST_PAUSE)


def _chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


def _status(bench: Bench, sizes: list[int]) -> bytes:
    """Return the first line of what a user gets for a body in such pieces."""
    with _connect(bench) as user:
        user.sendall(HEAD)
        # who is refused in the middle may find the connection closed
        with suppress(ConnectionError):
            for size in sizes:
                user.sendall(_chunk(size))
            user.sendall(LAST)
        return Reader(user).until(b"\r\n").strip()


@pytest.mark.parametrize(("sizes", "status"), [
    ([LIMIT], b"HTTP/1.1 200 OK"),
    ([1] * 300 + [LIMIT - 300], b"HTTP/1.1 200 OK"),
    ([LIMIT, 1], b"HTTP/1.1 413 Payload Too Large"),
    ([60_000] * 40, b"HTTP/1.1 413 Payload Too Large"),
])
def test_a_body_without_a_length_is_limited_by_its_bytes(
    wire: tuple[Bench, WireSystem], sizes: list[int], status: bytes
) -> None:
    """In few pieces or many; the system gets whole what fits, and never the end of the rest."""
    bench, system = wire
    assert _status(bench, sizes) == status
    whole = [each for each in system.received if each.startswith(b"POST /up")]
    assert len(whole) == (status == b"HTTP/1.1 200 OK")
    assert all(each.partition(END)[2].count(b"x") == sum(sizes) for each in whole)


def test_nothing_is_kept_back(tmp_path: Path) -> None:
    """The system has the first piece before the second is sent, and answers in between."""
    with socket.create_server(("127.0.0.1", 0)) as server, \
            _limited(server.getsockname()[1], tmp_path) as bench, _connect(bench) as user:
        user.sendall(HEAD + _chunk(10))
        connection, _ = server.accept()
        with connection:
            system = Reader(connection)
            system.until(END)
            assert system.until(b"x" * 10)
            user.sendall(_chunk(20) + LAST)
            assert system.until(b"x" * 20)
            connection.sendall(ANSWER)
            assert Reader(user).until(END).startswith(b"HTTP/1.1 200")


def test_no_system_is_blamed_for_it(wire: tuple[Bench, WireSystem]) -> None:
    """The log tells the gateway's word; the candidate's next request counts as ever."""
    bench, _ = wire
    _status(bench, [LIMIT, 1])
    _status(bench, [1])
    found: list[Entry] = []
    tailer = Tailer(bench.gateway.files.access_log, {})
    wait_for(lambda: bool(found.extend(tailer.read()) or
                          len([each for each in found if each.method == "POST"]) == 2),
             what="both lines")
    posts = {each.status: each for each in found if each.method == "POST"}
    assert refusal(posts[413]) == "body_too_large"
    assert classify(posts[413]) is None
    assert classify(posts[200]) is not None


def test_many_uploads_at_once_are_counted_each_by_itself(
    wire: tuple[Bench, WireSystem]
) -> None:
    """Three hundred that grow in turns, each third one too large."""
    bench, _ = wire
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    here = asyncio.Event()

    async def upload(number: int, waiting: list[int]) -> tuple[bool, bytes]:
        reader, writer = await asyncio.open_connection(host, int(port))
        is_large = number % 3 == 0
        writer.write(HEAD + _chunk(LIMIT // 2))
        waiting.append(number)
        if len(waiting) == 300:
            here.set()
        await here.wait()
        with suppress(ConnectionError):
            writer.write(_chunk(LIMIT // 2 + is_large) + LAST)
            await writer.drain()
        line = await asyncio.wait_for(reader.readline(), LONGEST_PAUSE)
        writer.close()
        return is_large, line.split()[1]

    async def everyone() -> list[tuple[bool, bytes]]:
        waiting: list[int] = []
        return await asyncio.gather(*(upload(number, waiting) for number in range(300)))

    assert set(asyncio.run(everyone())) == {(True, b"413"), (False, b"200")}


@pytest.mark.parametrize(("size", "status"), [(LIMIT, b"200"), (LIMIT * 20, b"413")])
def test_uploads_over_http2_are_limited_too(
    wire: tuple[Bench, WireSystem], size: int, status: bytes
) -> None:
    """Where no length is announced; who is refused gets the whole answer, then a reset that is no
    error."""
    bench, _ = wire
    with _connect(bench) as user:
        found = _uploaded(user, h2.connection.H2Connection(), size)
    answers = [dict(each.headers) for each in found
               if isinstance(each, h2.events.ResponseReceived)]
    assert [each[b":status"] for each in answers] == [status]
    resets = [each for each in found if isinstance(each, h2.events.StreamReset)]
    assert {each.error_code for each in resets} <= {0}


def _uploaded(
    user: socket.socket, http2: h2.connection.H2Connection, size: int
) -> list[h2.events.Event]:
    """Send a body as the window allows, until the answer's end; return all that happened."""
    http2.initiate_connection()
    http2.send_headers(1, [(":method", "PUT"), (":path", "/up"), (":scheme", "http"),
                           (":authority", "a")])
    found: list[h2.events.Event] = []
    while not any(isinstance(each, h2.events.StreamEnded) for each in found):
        allowed = min(size, http2.local_flow_control_window(1), http2.max_outbound_frame_size)
        if allowed:
            size -= allowed
            http2.send_data(1, b"x" * allowed, end_stream=not size)
        user.sendall(http2.data_to_send())
        if not allowed or not size:
            data = user.recv(1 << 16)
            assert data, "the connection was closed without an answer"
            found += http2.receive_data(data)
    return found


@pytest.mark.parametrize(("size", "status"), [(LIMIT, b"200"), (LIMIT + 1, b"413")])
def test_an_announced_length_is_tested_before_anything_is_sent(
    wire: tuple[Bench, WireSystem], size: int, status: bytes
) -> None:
    """As ever; the system hears nothing of what is too large."""
    bench, system = wire
    with _connect(bench) as user:
        user.sendall(b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        if status == b"200":
            user.sendall(b"x" * size)
        assert Reader(user).until(b"\r\n").split()[1] == status
    assert len([each for each in system.received if each.startswith(b"POST")]) == (status == b"200")


@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_an_absurd_length_gets_round_nothing(wire: tuple[Bench, WireSystem], length: int) -> None:
    """Beyond what routes can compare, what is sent is counted."""
    bench, _ = wire
    with _connect(bench) as user:
        user.sendall(b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length)
        with suppress(ConnectionError):
            user.sendall(b"x" * LIMIT * 2)
        assert Reader(user).until(b"\r\n").split()[1] in {b"400", b"413"}


def test_a_websocket_says_as_much_as_it_likes(wire: tuple[Bench, WireSystem]) -> None:
    """Only its start is a request; what claims to be one with a body is limited all the same."""
    bench, system = wire
    system.echoes = True
    system.answer = (b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n"
                     b"connection: upgrade\r\n\r\n")
    key = base64.b64encode(os.urandom(16))
    with _connect(bench) as user:
        user.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                     b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n")
        reader = Reader(user)
        assert reader.until(END).startswith(b"HTTP/1.1 101")
        sender = threading.Thread(target=user.sendall, args=(b"y" * LIMIT * 3,))
        sender.start()
        assert len(reader.exactly(LIMIT * 3)) == LIMIT * 3
        sender.join(LONGEST_PAUSE)
