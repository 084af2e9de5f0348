"""Recorded traffic against two real systems: what is compared, and what is left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.domain.comparisons import Compared
from changeover.shadow import replay
from changeover.shadow.recorded import load
from tests.integration.shadow.test_working import anyio_backend, plan_of  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.anyio]
BODIES = {
    "/big": b"[" + b"1," * 700_000 + b"1]",
    "/enormous": b"x" * (replay.MOST_BODY_BYTES + 1),
    "/header": b"{}",
}


@asynccontextmanager
async def systems() -> AsyncIterator[str]:
    """Start one that stands for both, and yield its address; any other path has its own body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                path = head.split()[1]
                body = BODIES.get(path, path.encode())
                more = b"content-security-policy: " + b"a" * 9_000 if path == "/header" else b"a: b"
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%s\r\n"
                             b"content-length: %d\r\n\r\n" % (more, len(body)) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def replayed(path: str, folder: Path) -> tuple[list[Compared], dict[str, int]]:
    """Replay one request for a path."""
    file = folder / "requests.jsonl"
    file.write_text(json.dumps({"path": path}))
    recorded, _ = load(file, with_unsafe=False)
    async with systems() as url:
        return await replay.run(plan_of(url), recorded, concurrency=2, on_done=lambda: None)


@pytest.mark.parametrize("path", ["/big", "/header", "/1"])
async def test_identical_answers_match_however_long_they_are(path: str, tmp_path: Path) -> None:
    """1.4 MB of JSON, and a header of 9 kB, are usual."""
    (one,), left_out = await replayed(path, tmp_path)
    assert (one.is_match, one.error, left_out) == (True, "", {})


async def test_answers_too_large_to_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    """Two systems that cannot be compared do not differ."""
    assert await replayed("/enormous", tmp_path) == ([], {replay.TOO_LARGE: 1})
