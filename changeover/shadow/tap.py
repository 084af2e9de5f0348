"""Taking tapped exchanges from Envoy: gRPC streams in, whole exchanges out.

Envoy never waits for this service: whatever happens here, the user has the answer already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from changeover.shadow.messages import ProcessingRequest

LOG = logging.getLogger("changeover.shadow.tap")

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
MOST_BODY_BYTES = 1_048_576
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as the user sent it, with the answer that the user got.

    `path` has its query; `request_headers` have `host` instead of pseudo headers; `duration` is
    in seconds, as the gateway saw it. `is_cut` when a body was larger than the limit.
    """

    method: str
    path: str
    request_headers: Headers
    request_body: bytes
    status: int
    response_headers: Headers
    response_body: bytes
    at: datetime
    duration: float
    is_cut: bool = False

    def header(self, name: str) -> str:
        """Return a request header's first value, or an empty text."""
        return next((value for key, value in self.request_headers if key == name), "")


@dataclass(slots=True)
class _Building:
    """An exchange of which some parts have arrived."""

    most: int
    began: float = field(default_factory=time.monotonic)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    request_headers: Any = ()
    response_headers: Any = ()
    request_body: list[bytes] = field(default_factory=list)
    response_body: list[bytes] = field(default_factory=list)
    size: int = 0
    left: int = -1
    is_cut: bool = False

    def take(self, message: Any) -> bool:
        """Take a part; return whether it was the last one."""
        if message.HasField("response_body"):
            self._append(self.response_body, message.response_body.body)
            self.left -= len(message.response_body.body)
            # the last part may be an empty one that only says so: not waited for
            return message.response_body.end_of_stream or self.left == 0
        if message.HasField("request_body"):
            self._append(self.request_body, message.request_body.body)
        elif message.HasField("request_headers"):
            self.request_headers = _pairs(message.request_headers)
        elif message.HasField("response_headers"):
            self.response_headers = _pairs(message.response_headers)
            length = next((v for k, v in self.response_headers if k == "content-length"), "")
            self.left = int(length) if length.isdigit() else -1
            return bool(message.response_headers.end_of_stream)
        return False

    def _append(self, parts: list[bytes], part: bytes) -> None:
        room = self.most - self.size
        if len(part) > room:
            self.is_cut = True
            part = part[: max(0, room)]
        self.size += len(part)
        parts.append(part)

    def finish(self) -> Exchange | None:
        """Return the exchange, or None when an essential part is missing."""
        pseudo = {key: value for key, value in self.request_headers if key[:1] == ":"}
        status = next((value for key, value in self.response_headers if key == ":status"), "")
        if ":method" not in pseudo or not status.isdigit():
            return None
        plain = [pair for pair in self.request_headers if pair[0][:1] != ":"]
        if ":authority" in pseudo:
            plain.insert(0, ("host", pseudo[":authority"]))
        return Exchange(
            pseudo[":method"], pseudo.get(":path", "/"), tuple(plain), b"".join(self.request_body),
            int(status), tuple(p for p in self.response_headers if p[0][:1] != ":"),
            b"".join(self.response_body), self.at, time.monotonic() - self.began, self.is_cut,
        )


def _pairs(headers: Any) -> Headers:
    return tuple(
        (found.key, found.value or found.raw_value.decode("utf-8", "replace"))
        for found in headers.headers.headers
    )


class TapServer:
    """The gRPC server that Envoy streams to.

    Args:
        socket: Unix socket to listen on; a stale one is removed.
        on_exchange: Called with every whole exchange, in the event loop; must not wait.
        most_body_bytes: Both bodies of one exchange are kept up to this size together.
    """

    def __init__(
        self, socket: Path, on_exchange: Callable[[Exchange], None], *,
        most_body_bytes: int = MOST_BODY_BYTES,
    ) -> None:
        self.socket = socket
        self.seen = 0
        self.incomplete = 0
        self._on_exchange = on_exchange
        self._most = most_body_bytes
        self._server: Any = None

    async def start(self) -> None:
        """Listen. Must be called in a running event loop."""
        self.socket.unlink(missing_ok=True)
        self._server = grpc.aio.server(options=[
            ("grpc.max_receive_message_length", 16 * 1_048_576),
            ("grpc.so_reuseport", 0),
        ])
        handler = grpc.stream_stream_rpc_method_handler(
            self._process, request_deserializer=ProcessingRequest.FromString,
            response_serializer=bytes,
        )
        self._server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),
        ))
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()
        self.socket.chmod(0o600)

    async def stop(self) -> None:
        """End all streams and remove the socket."""
        if self._server is not None:
            await self._server.stop(grace=0.5)
        self.socket.unlink(missing_ok=True)

    async def _process(self, _requests: Any, context: Any) -> None:
        """Read one exchange; whatever is wrong with it is counted and ends here."""
        building, found = _Building(self._most), None
        try:
            while True:
                message = await context.read()
                if not message:  # the end of the stream; a part is never empty
                    break
                if building.take(message):
                    found = building.finish()
                    break
        finally:  # Envoy may have cancelled the stream, because this was too slow
            self.seen += 1
            self.incomplete += found is None
        if found is not None:
            self._on_exchange(found)
