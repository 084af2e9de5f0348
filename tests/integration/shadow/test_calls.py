"""A copy on the wire: what the candidate gets is what the user asked for."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime

import pytest

from changeover.comparison.answers import Answer
from changeover.plan.model import SystemSpec
from changeover.shadow.calls import Caller
from changeover.shadow.tap import Exchange
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def _call(exchange: Exchange, *parts: bytes) -> tuple[list[str], Answer]:
    """Return the head of the request that a system gets, and what became of its answer."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
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
    "/", "/a%2Fb/../c", "/a%7Eb?x=a+b%20c&y=%zz", "//double", "/ü", "/a;b=c?d[]=1|2",
])
def test_copy_asks_for_the_very_path(path: str) -> None:
    """Nothing is decoded, joined or tidied up: the two systems might take it differently."""
    head, _ = asyncio.run(_call(_exchange(path)))
    assert head[0] == f"GET {path} HTTP/1.1"


def test_copy_has_the_users_headers_and_says_that_it_is_one() -> None:
    """Credentials go along, what belongs to the user's connection does not, nothing is added."""
    head, _ = asyncio.run(_call(_exchange(
        "/", ("host", "shop.example"), ("authorization", "Bearer abc"), ("cookie", "a=b"),
        ("x-request-id", "17"), ("te", "trailers"), ("x-envoy-attempt-count", "1"))))
    assert sorted(line.lower() for line in head[1:] if line) == [
        "authorization: bearer abc", "cookie: a=b", "host: shop.example",
        "x-changeover-shadow: 1", "x-request-id: 17"]


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
