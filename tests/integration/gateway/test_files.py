"""A file server's own view of ranges, conditions and uploads: the same through the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from tests.integration.conftest import make_plan
from tests.integration.gateway.kinds import asks
from tests.integration.gateway.wire import END, exchange
from tests.support.background import in_background
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration
NAME = "a b é.bin"
PATH = b"/files/a%20b%20%C3%A9.bin"
SIZE = 50_000_000
_DATE = re.compile(rb"(?<=\r\nDate: )[^\r]*(?=\r\n)")


@dataclass(frozen=True)
class Server:
    """A file server by its own port, and through a gateway that sends everyone there."""

    direct: int
    gateway: int
    etag: bytes
    modified: bytes


async def _upload(request: web.Request) -> web.Response:
    """Say of each part of a form what it is called, how long it is, and its digest."""
    lines = []
    async for part in await request.multipart():
        body = await part.read()  # type: ignore[union-attr]
        lines.append(f"{part.name} {part.filename} {len(body)} "  # type: ignore[union-attr]
                     f"{hashlib.sha256(body).hexdigest()}")
    return web.Response(text="\n".join(lines))


@contextlib.contextmanager
def _serving(folder: Path, port: int) -> Iterator[None]:
    """Serve a folder and take uploads until the block ends."""
    app = web.Application(client_max_size=2 * SIZE)
    app.router.add_static("/files", folder)
    app.router.add_post("/upload", _upload)
    runner, loop = web.AppRunner(app), asyncio.new_event_loop()

    async def serve() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    with in_background(loop, serve):
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Everyone at the candidate, which serves one file of 50 MB."""
    directory = tmp_path_factory.mktemp("files")
    (directory / "served").mkdir()
    (directory / "served" / NAME).write_bytes(
        b"".join(b"%09d\n" % number for number in range(SIZE // 10)))
    port, listen = free_port(), free_port()
    url = {"url": f"http://127.0.0.1:{port}"}
    plan = make_plan(systems={"baseline": {"name": "old", **url},
                              "candidate": {"name": "new", **url}},
                     routing={"listen": f"127.0.0.1:{listen}"})
    gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState(
        "bench", mode=Mode.CANDIDATE_ONLY, weight=10_000, version=1))
    with _serving(directory / "served", port), running(
            envoy_command(gateway.files), directory / "envoy.log"):
        address = f"http://127.0.0.1:{listen}{PATH.decode()}"
        wait_for(lambda: httpx.head(address).status_code == 200)
        headers = httpx.head(address).headers
        yield Server(port, listen, headers["etag"].encode(), headers["last-modified"].encode())


def _alike(answer: bytes) -> bytes:
    """Return an answer without its date, and with `chunked` last, as docs/gateway.md says."""
    line = b"\r\nTransfer-Encoding: chunked"
    head, end, body = _DATE.sub(b"NOW", answer).partition(END)
    if (at := head.lower().find(line.lower())) < 0:
        return head + end + body
    return head[:at] + head[at + len(line):] + line.lower() + end + body


@pytest.mark.parametrize(("method", "headers", "status"), [
    ("GET", b"", 200),
    ("HEAD", b"", 200),
    ("GET", b"range: bytes=0-99\r\n", 206),
    ("GET", b"range: bytes=-1000000\r\n", 206),
    ("GET", b"range: bytes=49999990-\r\n", 206),
    ("HEAD", b"range: bytes=5-9\r\n", 206),
    ("GET", b"range: bytes=50000000-\r\n", 416),
    ("GET", b"if-none-match: ETAG\r\n", 304),
    ("GET", b'if-none-match: "other", ETAG\r\n', 304),
    ("GET", b'if-none-match: "other"\r\n', 200),
    ("GET", b"if-modified-since: MODIFIED\r\n", 304),
    ("GET", b"if-match: ETAG\r\n", 200),
    ("GET", b'if-match: "other"\r\n', 412),
    ("GET", b"if-range: MODIFIED\r\nrange: bytes=7-8\r\n", 206),
    ("HEAD", b"if-none-match: ETAG\r\n", 304),
    ("POST", b"content-length: 0\r\n", 405),
])
def test_file_server_answers_the_same(
    server: Server, method: str, headers: bytes, status: int
) -> None:
    """Whole files, parts, conditions and HEAD: each byte of the answer but for its date."""
    filled = headers.replace(b"ETAG", server.etag).replace(b"MODIFIED", server.modified)
    request = asks(method.encode() + b" " + PATH + b" HTTP/1.1", filled)
    straight, through = (
        _alike(exchange(port, request)) for port in (server.direct, server.gateway))
    assert straight.startswith(b"HTTP/1.1 %d " % status)
    assert len(through) == len(straight)
    assert through == straight, through[:1000]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_uploaded_form_arrives_whole(server: Server, is_chunked: bool) -> None:
    """A form with a file of 50 MB, and one whose name is no ASCII, is what the system reads."""
    content = bytes(range(256)) * (SIZE // 256)
    files = {"large": ("grün.bin", content), "small": ("leer", b"")}
    request = httpx.Request("POST", f"http://127.0.0.1:{server.gateway}/upload", files=files)
    body = request.read()
    headers = {"content-type": request.headers["content-type"]}
    pieces = (body[at:at + 100_000] for at in range(0, len(body), 100_000))
    answer = httpx.post(request.url, headers=headers, timeout=LONGEST_PAUSE,
                        content=pieces if is_chunked else body)
    assert answer.text.splitlines() == [
        f"large grün.bin {len(content)} {hashlib.sha256(content).hexdigest()}",
        f"small leer 0 {hashlib.sha256(b'').hexdigest()}"]
