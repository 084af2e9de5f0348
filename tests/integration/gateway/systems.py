"""A candidate that streams, breaks off, waits and upgrades, on a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from tests.support.background import in_background

STREAM_PIECES = 8
ANSWER = b"HTTP/1.1 200 OK\r\nserver: mine\r\n"
_CHUNKED = ANSWER + b"transfer-encoding: chunked\r\n\r\n"
_PIECE = b"5\r\nhello\r\n"


class OddSystem:
    """Answers by the path. After each piece of `/stream`, and in `/hold`, it waits for `go_on`."""

    def __init__(self) -> None:
        self.waiting = 0
        """How many requests wait for `go_on`."""
        self._turns = asyncio.Semaphore(0)
        self._loop = asyncio.new_event_loop()

    def go_on(self) -> None:
        """Let one of those that wait go on; the longest waiting first."""
        self._loop.call_soon_threadsafe(self._turns.release)

    async def _turn(self) -> None:
        self.waiting += 1
        await self._turns.acquire()
        self.waiting -= 1

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                    await self._stream(writer)
                elif path == "/endless":
                    writer.write(_CHUNKED + _PIECE)
                    await reader.read()
                elif path.startswith("/down/"):
                    await _answer_at_length(writer, int(path.rpartition("/")[2]))
                elif path == "/cut":
                    writer.write(ANSWER + b"content-length: 100\r\n\r\nhalf")
                    await writer.drain()
                    await asyncio.sleep(0.05)
                    writer.transport.abort()
                else:
                    await self._answer(path, headers, writer)
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_CHUNKED)
        for _ in range(STREAM_PIECES):
            writer.write(_PIECE)
            await writer.drain()
            await self._turn()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _answer(
        self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        if path == "/hold":
            await self._turn()
        _, _, seconds = path.partition("/wait/")
        await asyncio.sleep(float(seconds or 0))
        body = "\n".join(f"{name}: {value}" for name, value in headers.items()).encode()
        writer.write(ANSWER + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    @contextlib.contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Serve on a port until the block ends."""
        with in_background(self._loop, lambda: asyncio.start_server(
                self._handle, "127.0.0.1", port)):
            yield


async def _answer_at_length(writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(ANSWER + b"content-length: %d\r\n\r\n" % size)
    for start in range(0, size, 65_536):
        writer.write(b"x" * min(65_536, size - start))
        await writer.drain()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    while piece := await reader.read(100):
        writer.write(piece)
        await writer.drain()
