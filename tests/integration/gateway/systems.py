"""A candidate that streams, breaks off, waits and upgrades, on a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

STREAM_PIECES = 8
STREAM_PAUSE = 0.3
ANSWER = b"HTTP/1.1 200 OK\r\nserver: mine\r\n"


async def _handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while line := await reader.readline():
            path = line.decode().split(" ")[1]
            headers: dict[str, str] = {}
            while raw := (await reader.readline()).strip():
                name, _, value = raw.decode("utf-8", "surrogateescape").partition(":")
                headers[name.lower()] = value.strip()
            await reader.readexactly(int(headers.get("content-length", 0)))
            if headers.get("upgrade"):
                await _echo(reader, writer)
            elif path == "/stream":
                await _stream(writer)
            elif path == "/cut":
                writer.write(ANSWER + b"content-length: 100\r\n\r\nhalf")
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.transport.abort()
            else:
                _, _, seconds = path.partition("/wait/")
                await asyncio.sleep(float(seconds or 0))
                body = "\n".join(f"{name}: {value}" for name, value in headers.items()).encode()
                writer.write(ANSWER + b"content-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
    writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    while piece := await reader.read(100):
        writer.write(piece)
        await writer.drain()


async def _stream(writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(STREAM_PIECES):
        writer.write(b"5\r\nhello\r\n")
        await writer.drain()
        await asyncio.sleep(STREAM_PAUSE)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


@contextlib.contextmanager
def odd_system(port: int) -> Iterator[None]:
    """Serve on a port until the block ends."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        await asyncio.start_server(_handle, "127.0.0.1", port)
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(5)
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
