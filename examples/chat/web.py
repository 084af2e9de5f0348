"""The smallest part of ASGI that both transports need: a server of little memory."""

from __future__ import annotations

import argparse
import hmac
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Protocol

import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DATABASE_VARIABLE = "CHAT_DATABASE"
TOKEN_VARIABLE = "CHANGEOVER_FAULT_TOKEN"  # noqa: S105  the variable's name, not a token
LARGEST_BODY = 16 * 1024


class BadRequest(Exception):
    """A request that cannot be understood; its text is the answer."""


class Application(Protocol):
    """What is served."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or serve a websocket."""
        ...


async def body_of(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        BadRequest: It is too large.
    """
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BadRequest(f"a message has at most {LARGEST_BODY} bytes")
        if not part.get("more_body", False):
            return body


def header(scope: Scope, name: str) -> str:
    """Return a header's value; empty without it."""
    wanted = name.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), "")


async def begin(
    send: Send, status: int, kind: str, further: dict[str, str] | None = None
) -> None:
    """Send the status and the headers."""
    headers = {"content-type": kind, "x-content-type-options": "nosniff", **(further or {})}
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})


async def answer(
    send: Send, status: int, content: Any, further: dict[str, str] | None = None
) -> None:
    """Send a whole answer as JSON."""
    await begin(send, status, "application/json", further)
    body = json.dumps(content, ensure_ascii=False).encode()
    await send({"type": "http.response.body", "body": body})


def is_allowed(scope: Scope) -> bool:
    """Whether a request carries the token that allows faults; without a token nobody may."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    given = header(scope, "authorization").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(token.encode(), given.encode())


def database() -> Path:
    """Return the file of the conversations: where the variable says, else in the home."""
    if named := os.environ.get(DATABASE_VARIABLE):
        return Path(named)
    home = os.environ.get("CHANGEOVER_HOME")
    return Path(home or tempfile.gettempdir()) / "chat.sqlite3"


def serve(make: Callable[[], Application], description: str) -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    uvicorn.run(
        make(), host=arguments.host, port=arguments.port, log_level="warning", access_log=False,
        # h11 and asyncio: httptools and uvloop would take a fifth more memory
        http="h11", loop="asyncio", ws="websockets-sansio", ws_per_message_deflate=False,
        lifespan="on",
        # longer than the gateway keeps connections: it must not send to a closed one
        timeout_keep_alive=60)
