"""A system as an address on loopback in HTTP/1.1, for programs that cannot reach it themselves.

It lives while a check runs and passes on bytes, from whoever knows its key only: the system may be
shown a certificate of ours, and other users of this machine must not borrow it.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from changeover.gateway import reaching
from changeover.plan.systems import SystemSpec
from changeover.shadow.dialling import dialler
from changeover.shadow.wire import Broke, Invalid, Received, Refused, Sent, Wire, as_text

KEY_HEADER = "x-changeover-hop"
LARGEST_ANSWER = 64 << 20
_OF_A_CONNECTION = frozenset({
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade"})
_WITH_LENGTH = ("POST", "PUT", "PATCH")
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a system can be asked.

    Args:
        url: What stands before each path: the hop's address and the path of the system's url.
        key: What every request has in the header `KEY_HEADER`; no other is passed on.
    """

    url: str
    key: str


@contextlib.contextmanager
def serving(system: SystemSpec) -> Iterator[Hop]:
    """Pass on what is asked at an address on loopback until the block ends.

    Args:
        system: The system.
    """
    key = secrets.token_urlsafe(32)
    server = uvicorn.Server(uvicorn.Config(
        _Passing(system, key), lifespan="off", log_level="critical", access_log=False,
        server_header=False, date_header=False, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as own:
        thread = threading.Thread(target=server.run, args=([own],), daemon=True)
        thread.start()
        try:
            yield Hop(f"http://127.0.0.1:{own.getsockname()[1]}{system.base_path}", key)
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


class _Passing:
    """Passes on one request at a time for each connection (an application of ASGI)."""

    def __init__(self, system: SystemSpec, key: str) -> None:
        self._system, self._key = system, key.encode()
        self._wire = Wire(dialler(system, most_body=LARGEST_ANSWER))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request with what the system answers; 502 when it does not."""
        parts, is_more = [], True
        while is_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            is_more = message.get("more_body", False)
        names = {name: value for name, value in scope["headers"]}
        if not hmac.compare_digest(names.get(KEY_HEADER.encode(), b""), self._key):
            await _answer(send, Received(403, [], b"this is a hop of one check, with its own key"))
            return
        try:
            found = await self._wire.ask(
                self._request(scope, b"".join(parts)), is_safe=scope["method"] in _SAFE)
        except (Refused, Broke, Invalid, OSError, ValueError) as error:
            found = Received(502, [], f"no answer: {type(error).__name__} {error}".encode())
        await _answer(send, found)

    def _request(self, scope: Any, body: bytes) -> Sent:
        target = as_text(scope["raw_path"])
        if scope["query_string"]:
            target += "?" + as_text(scope["query_string"])
        headers = [("host", reaching.authority(self._system))]
        for name, value in scope["headers"]:
            text = as_text(name)
            if text not in _OF_A_CONNECTION and text not in ("host", "content-length", KEY_HEADER):
                headers.append((text, as_text(value)))
        if body or scope["method"] in _WITH_LENGTH:
            headers.append(("content-length", str(len(body))))
        return Sent(scope["method"], target, headers, body)


async def _answer(send: Any, found: Received) -> None:
    headers = [(name, value) for name, value in found.headers
               if as_text(name).lower() not in _OF_A_CONNECTION]
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": found.body})
