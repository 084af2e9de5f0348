"""A system whose answers say exactly what they are: so many bytes, in pieces, early, upgraded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

_HEAD = b"HTTP/1.1 %d X\r\ncontent-type: application/octet-stream\r\n"


def body_of(size: int) -> bytes:
    """Return `size` bytes that are all values of a byte, in an order that shows every shift."""
    return bytes(number * 7 % 256 ^ number // 256 % 256 for number in range(size))


async def _handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while line := await reader.readline():
            method, target, _ = line.decode("latin-1").split(" ", 2)
            headers: dict[str, str] = {}
            while raw := (await reader.readline()).strip():
                name, _, value = raw.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            _, kind, argument = target.partition("?")[0].split("/", 2)
            if headers.get("upgrade"):
                await _echo(reader, writer)
            elif kind == "early":
                writer.write(_HEAD % 413 + b"content-length: 8\r\n\r\ntoo long")
                await writer.drain()
                await reader.read()
            else:
                await reader.readexactly(int(headers.get("content-length", 0)))
                await _answer(writer, method, kind, int(argument or 0))
    writer.close()


async def _answer(writer: asyncio.StreamWriter, method: str, kind: str, number: int) -> None:
    """Answer `/bytes/N`, `/pieces/N` (chunked) with N bytes, `/status/N` with that status."""
    if kind == "status":
        writer.write(_HEAD % number + b"content-length: 0\r\n\r\n")
    elif kind == "pieces":
        writer.write(_HEAD % 200 + b"transfer-encoding: chunked\r\n\r\n")
        body = body_of(number)
        for start in range(0, number, 10_000):
            piece = body[start:start + 10_000]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    else:
        writer.write(_HEAD % 200 + b"set-cookie: a=1\r\nset-cookie: b=2\r\n"
                     b"content-length: %d\r\n\r\n" % number)
        writer.write(b"" if method == "HEAD" else body_of(number))
    await writer.drain()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    while piece := await reader.read(100):
        writer.write(piece)
        await writer.drain()


@contextlib.contextmanager
def exact_system(port: int) -> Iterator[None]:
    """Serve on a port until the block ends."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        await asyncio.start_server(_handle, "127.0.0.1", port, backlog=1024)
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
