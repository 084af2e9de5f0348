"""A small real HTTP system for tests: `python -m tests.support.upstream NAME PORT`.

Answers every request with its name; counts what it ran; `POST /fault?kind=503|hang|slow|liar|none`
makes it misbehave, `kind=half` every second request, and `kind=cohort` those with `x-cohort` only;
`most` of `/ran` is how many requests ran at once; `POST /lever/NAME` notes the name, once for each
`Idempotency-Key`. What a request's `x-answer-with` says, as `cache-control: public`, is one of the
answer's headers. `/live` is a websocket or an event stream that goes on until its client ends it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

STATE = {"fault": "none", "gets": 0, "posts": [], "levers": [], "active": 0, "most": 0}
KEYS = set()
TURNS = itertools.count()


def _answer(name: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, object]:
    if path.startswith("/fault"):
        STATE["fault"] = path.partition("kind=")[2] or "none"
        return 200, STATE["fault"]
    if path == "/ran":
        return 200, STATE
    if path.startswith("/lever/"):
        key = headers.get("idempotency-key")
        if key is None or key not in KEYS:
            STATE["levers"].append(path.rpartition("/")[2])
        KEYS.add(key)
        return 200, STATE
    if STATE["fault"] == "cohort" and headers.get("x-cohort"):
        return 500, {"served_by": name}
    if STATE["fault"] == "503":
        return 503, {"served_by": name}
    if path == "/health":
        return 200, {"ok": True}
    # not 503: three of those in a row, beside requests of others, and Envoy ejects the candidate,
    # which is then one that fails every request
    if STATE["fault"] == "half" and next(TURNS) % 2:
        return 500, {"served_by": name}
    if method == "POST":
        STATE["posts"].append(headers.get("x-item", ""))
    else:
        STATE["gets"] += 1
    return 200, {"served_by": name, "headers": headers}


async def _serve(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            method, path, _ = line.decode().split(" ", 2)
            headers: dict[str, str] = {}
            while (raw := await reader.readline()).strip():
                key, _, value = raw.decode("utf-8", "surrogateescape").partition(":")
                headers[key.strip().lower()] = value.strip()
            await reader.readexactly(int(headers.get("content-length", 0)))
            if path == "/live":
                await _live(name, headers, reader, writer)
                return
            status, content = _answer(name, method, path, headers)
            if STATE["fault"] == "hang" and not path.startswith("/fault"):
                await asyncio.sleep(3600)
            STATE["active"] += 1
            STATE["most"] = max(STATE["most"], STATE["active"])
            if STATE["fault"] == "slow" and not path.startswith("/fault"):
                await asyncio.sleep(0.3)
            STATE["active"] -= 1
            body = json.dumps(content).encode()
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n"
            if STATE["fault"] == "liar" and method == "POST" and path == "/":
                head = head.replace("200", "503") + "x-changeover-not-sent: 1\r\n"
            if "x-answer-with" in headers:
                head += headers["x-answer-with"] + "\r\n"
            writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + body)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def _live(
    name: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if headers.get("upgrade") == "websocket":
        writer.write(f"HTTP/1.1 101 X\r\nx-system: {name}\r\nupgrade: websocket\r\n"
                     "connection: upgrade\r\n\r\n".encode())
        while piece := await reader.read(1000):
            writer.write(piece)
            await writer.drain()
        return
    writer.write(f"HTTP/1.1 200 X\r\nx-system: {name}\r\ncontent-type: text/event-stream\r\n"
                 "transfer-encoding: chunked\r\n\r\n".encode())
    while not reader.at_eof():
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _main(name: str, port: int) -> None:
    server = await asyncio.start_server(
        lambda r, w: _serve(name, r, w), "127.0.0.1", port, backlog=1024
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
