"""A copy on the wire: what the candidate gets is what the user asked for."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime

import pytest

from changeover.comparison.answers import Answer
from changeover.plan.systems import SystemSpec
from changeover.shadow.calls import Caller, has_part_only
from changeover.shadow.tap import Exchange
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def _call(exchange: Exchange, *parts: bytes) -> tuple[list[str], Answer]:
    """Return the head of the request that a system gets, and what became of its answer."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape"))
        for part in parts or [ANSWER]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)  # so that each part arrives by itself
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    caller = Caller(SystemSpec(name="new", url=f"http://127.0.0.1:{port}"),
                    timeout=LONGEST_PAUSE, concurrency=1)
    try:
        answer = await caller.call(exchange)
    finally:
        await caller.close()
        server.close()
    return heads[0].splitlines(), answer


def _exchange(path: str, *headers: tuple[str, str]) -> Exchange:
    return Exchange("GET", path, headers, b"", 200, (), b"", datetime.now(UTC), 0.0)


@pytest.mark.parametrize("path", [
    "/", "/q?", "/a?b#c", "/#", "/caf\udce9?\udcff", '/"<>^`{|}',
    "/a%2Fb/../c", "/a%7Eb?x=a+b%20c&y=%zz", "//double", "/ü", "/a;b=c?d[]=1|2",
])
def test_copy_asks_for_the_very_path(path: str) -> None:
    """Nothing is decoded, joined or tidied up: the two systems might take it differently."""
    head, _ = asyncio.run(_call(_exchange(path)))
    assert head[0] == f"GET {path} HTTP/1.1"


def test_copy_has_the_users_headers_and_says_that_it_is_one() -> None:
    """Credentials go along, what belongs to the user's connection does not, nothing is added."""
    head, _ = asyncio.run(_call(_exchange(
        "/", ("host", "shop.example"), ("authorization", "Bearer abc"), ("cookie", "a=b"),
        ("x-request-id", "17"), ("te", "trailers"), ("x-envoy-attempt-count", "1"),
        ("x-envoy-external-address", "192.0.2.1"), ("x-envoy-internal", "true"))))
    assert sorted(line.lower() for line in head[1:] if line) == [
        "authorization: bearer abc", "cookie: a=b", "host: shop.example",
        "x-changeover-shadow: 1", "x-request-id: 17"]


def test_header_bytes_go_on_as_they_came() -> None:
    """Also those that are no UTF-8, and headers that stand twice."""
    head, _ = asyncio.run(_call(_exchange(
        "/", ("host", "a"), ("x", "caf\udce9"), ("x", "é"), ("empty", ""))))
    assert head[1:5] == ["host: a", "x: caf\udce9", "x: é", "empty: "]


@pytest.mark.parametrize("name", [
    "if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"])
def test_safe_copy_asks_for_the_whole_answer(name: str) -> None:
    """A 304 beside a 304 would hide everything, and beside a 200 invent a regression."""
    head, _ = asyncio.run(_call(_exchange("/", (name, "x"))))
    assert not [line for line in head if line.startswith(name)]


def test_unsafe_copy_keeps_its_conditions() -> None:
    """They say when it may be done at all."""
    unsafe = Exchange("PUT", "/a", (("if-match", '"7"'),), b"x", 200, (), b"",
                      datetime.now(UTC), 0.0)
    head, _ = asyncio.run(_call(unsafe))
    assert 'if-match: "7"' in head
    assert "content-length: 1" in head


@pytest.mark.parametrize(("status", "headers", "is_part"), [
    (304, (("if-none-match", "x"),), True), (206, (("range", "bytes=0-1"),), True),
    (416, (("range", "bytes=9-"),), True), (412, (("if-match", "x"),), True),
    (200, (("if-none-match", "x"),), False), (304, (), False), (404, (("range", "x"),), False),
])
def test_an_answer_to_a_condition_is_a_part_only(
    status: int, headers: tuple[tuple[str, str], ...], is_part: bool
) -> None:
    """Then the baseline is asked for the whole, too."""
    assert has_part_only(Exchange(
        "GET", "/", headers, b"", status, (), b"", datetime.now(UTC), 0.0)) is is_part


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(("parts", "body", "error"), [
    ([HEAD + b"\r\nuntil the end", b" of it"], b"until the end of it", ""),
    ([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", ANSWER], b"{}", ""),
    ([b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER], b"{}", ""),
    ([HEAD + b"x-csp: " + b"a" * 9_000 + b"\r\ncontent-length: 2\r\n\r\n{}"], b"{}", ""),
    ([HEAD + b"".join(b"set-cookie: a%d=1\r\n" % n for n in range(200)) + b"\r\n"], b"", ""),
    ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", ""),
    ([b"HTTP/1.0 200 OK\r\n\r\n{}"], b"{}", ""),
    ([HEAD + b"content-length: 5\r\n\r\n{}"], b"", "connection broke"),
    ([HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n{}"], b"", "connection broke"),
    ([b""], b"", "connection broke"),
    ([b"SSH-2.0-OpenSSH_9\r\n"], b"", "no valid answer"),
    ([HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}"], b"", "no valid answer"),
], ids=["to the end of the connection", "early hints", "continue", "a long header", "200 headers",
        "204", "HTTP/1.0", "cut", "cut within a chunk", "nothing", "no HTTP", "two lengths"])
def test_answers_are_read_as_they_are(parts: list[bytes], body: bytes, error: str) -> None:
    """Whatever the systems may say; what is none is told as what it is."""
    _, answer = asyncio.run(_call(_exchange("/"), *parts))
    assert (answer.body, answer.error) == (body, error)


def test_answer_to_head_has_no_body() -> None:
    """Whatever length it names; nobody waits for it."""
    exchange = Exchange("HEAD", "/", (), b"", 200, (), b"", datetime.now(UTC), 0.0)
    _, answer = asyncio.run(_call(exchange, HEAD + b"content-length: 500\r\n\r\n"))
    assert (answer.status, answer.body, answer.error) == (200, b"", "")


async def _served(
    *scripts: list[bytes | None], method: str = "GET"
) -> tuple[list[Answer], int]:
    """Ask once for each answer that is listed; return the answers and how often it was connected.

    Each script is what one connection answers, one request after another; None closes it.
    """
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        script, connections = scripts[connections], connections + 1
        for part in script:
            await reader.readuntil(b"\r\n\r\n")
            if part is None:
                break
            writer.write(part)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    caller = Caller(SystemSpec(name="new", url=f"http://127.0.0.1:{port}"),
                    timeout=LONGEST_PAUSE, concurrency=1)
    exchange = Exchange(method, "/", (), b"", 200, (), b"", datetime.now(UTC), 0.0)
    answers = [await caller.call(exchange) for script in scripts for part in script if part]
    await caller.close()
    server.close()
    return answers, connections


def test_connections_are_kept() -> None:
    """Three requests over one."""
    answers, connections = asyncio.run(_served([ANSWER, ANSWER, ANSWER]))
    assert ([answer.body for answer in answers], connections) == ([b"{}"] * 3, 1)


def test_safe_request_is_sent_again_over_a_new_connection() -> None:
    """A system may close a kept one at any moment."""
    answers, connections = asyncio.run(_served([ANSWER, None], [ANSWER]))
    assert ([answer.error for answer in answers], connections) == (["", ""], 2)


def test_unsafe_request_is_never_sent_twice() -> None:
    """It may have been done before the connection ended."""
    answers, connections = asyncio.run(_served([ANSWER, None], [ANSWER], method="POST"))
    assert ([answer.error for answer in answers], connections) == (["", "connection broke"], 1)


def test_answer_that_closes_the_connection_ends_it() -> None:
    """The next request gets its own."""
    last = HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"
    answers, connections = asyncio.run(_served([last], [ANSWER]))
    assert ([answer.body for answer in answers], connections) == ([b"{}", b"{}"], 2)


def test_more_than_was_asked_for_is_nobodys_answer() -> None:
    """A second answer to one request would be taken for the next one's."""
    answers, connections = asyncio.run(_served([ANSWER + b"HTTP/1.1 200 OK\r\n"], [ANSWER]))
    assert ([answer.body for answer in answers], connections) == ([b"{}", b"{}"], 2)


def test_answer_in_parts_is_read_to_its_end() -> None:
    """However slowly they come."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    parts = [b"5\r\n[1, 2\r\n", b"4\r\n, 3]\r\n", b"0\r\n\r\n"]
    _, answer = asyncio.run(_call(_exchange("/"), head, *parts))
    assert (answer.body, answer.error) == (b"[1, 2, 3]", "")


@pytest.mark.parametrize(("content", "words"), [
    (gzip.compress(b"[1]"), ""), (b"[1]", "not gzip"),
    (gzip.compress(b"\0" * 2_000_000), "more than"),
], ids=["gzip", "no gzip", "a bomb"])
def test_compressed_answer_is_unpacked(content: bytes, words: str) -> None:
    """Up to the limit; one that cannot be says why."""
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    _, answer = asyncio.run(_call(_exchange("/"), head % len(content) + content))
    assert answer.body == (b"" if words else b"[1]")
    assert words in answer.error
    assert bool(words) is bool(answer.error)


def test_answer_beyond_the_limit_is_not_kept_in_memory() -> None:
    """Reading ends where nothing could be compared any more."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n"
    _, answer = asyncio.run(_call(_exchange("/"), head, *[b"x" * 300_000] * 10))
    assert (answer.body, "more than" in answer.error) == (b"", True)
