"""Thousands of requests over a few connections: HTTP/1.1, sent in rows without waiting for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

CONNECTIONS = 8
AT_ONCE = 25
"""Requests that a connection sends before it reads their answers."""


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request's bytes."""
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(port: int, requests: Sequence[bytes]) -> list[bytes]:
    """Return the body of every answer, in the order of the requests.

    Raises:
        AssertionError: One was not answered with 200.
    """
    return [body for _, body in answers(port, requests)]


def answers(port: int, requests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the head, in lower case, and the body of every answer, in the order of the requests.

    Raises:
        AssertionError: One was not answered with 200.
    """
    return asyncio.run(_ask(port, requests))


async def _ask(port: int, requests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    parts = await asyncio.gather(*(
        _over_one(port, requests[first::CONNECTIONS]) for first in range(CONNECTIONS)))
    found = [(b"", b"")] * len(requests)
    for first, answered in enumerate(parts):
        found[first::CONNECTIONS] = answered
    return found


async def _over_one(port: int, requests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    if not requests:
        return []
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    found = []
    for start in range(0, len(requests), AT_ONCE):
        row = requests[start:start + AT_ONCE]
        writer.write(b"".join(row))
        found += [await _answer(reader) for _ in row]
    writer.close()
    return found


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, rest = head.partition(b"content-length:")
    body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    assert head.startswith(b"http/1.1 200"), (head, body)
    return head, body
