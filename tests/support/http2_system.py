"""A small real system that speaks HTTP/2 only, on a thread of the test (with h2).

Answers with what it got, as JSON: method, scheme, host, path, headers, and the body's size. Paths:
`/health`, `/size/N` (a body of N bytes), `/reset` (ends the stream), `/goaway` (answers, and takes
no further request on this connection), `/status/N`, `/held` (answered when so many are as `held`
says), `/refused` (refuses the stream, `refuses` times), `/drop` (ends the connection), `/ending`
(ends the connection in good order: later streams are ignored, earlier ones answered). A websocket
(RFC 8441) gets back what it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Iterator
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from tests.support.background import in_background


class Http2System:
    """A server of the above.

    Args:
        name: What it calls itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[dict[str, Any]] = []
        self.peers: list[str] = []
        """Common names of the certificates that clients showed, one for each connection."""
        self.held, self.refuses = 0, 0
        self._loop = asyncio.new_event_loop()

    @contextlib.contextmanager
    def serving(
        self, port: int | None = None, *, path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Iterator[None]:
        """Serve on a port, or at a Unix socket's path, until the block ends."""
        async def serve() -> None:
            if path is not None:
                await asyncio.start_unix_server(self._talk, path, ssl=tls)
            else:
                await asyncio.start_server(self._talk, "127.0.0.1", port, ssl=tls)

        with in_background(self._loop, serve):
            yield

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("peercert")
        self.peers.append(_name_of(certificate) if certificate else "")
        connection = _Talk(self, writer)
        with contextlib.suppress(ConnectionError, h2.exceptions.ProtocolError):
            while data := await reader.read(65_536):
                connection.receive(data)
                await writer.drain()
        writer.close()


def _name_of(certificate: dict[str, Any]) -> str:
    return str(dict(part[0] for part in certificate["subject"])["commonName"])


class _Talk:
    """One connection: its streams, and what waits for the client's window."""

    def __init__(self, system: Http2System, writer: asyncio.StreamWriter) -> None:
        self._system, self._writer = system, writer
        self._streams: dict[int, dict[str, Any]] = {}
        self._unsent: dict[int, bytes] = {}
        self._held: list[tuple[int, dict[str, Any]]] = []
        self._last = 1 << 31
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding=None, validate_inbound_headers=False))
        self._h2.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        self._h2.local_settings.acknowledge()
        self._h2.initiate_connection()
        self._flush()

    def receive(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            stream = getattr(event, "stream_id", 0) or 0
            if stream <= self._last:
                self._handle(event, stream)
        for stream in list(self._unsent):
            self._send(stream)
        self._flush()

    def _handle(self, event: h2.events.Event, stream: int) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._streams[stream] = _request(event.headers)
            if self._streams[stream]["method"] == "CONNECT":
                self._system.requests.append(self._streams[stream])
                self._h2.send_headers(stream, [(":status", "200")])
        elif isinstance(event, h2.events.DataReceived):
            self._streams[stream]["size"] += len(event.data or b"")
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            if self._streams[stream]["method"] == "CONNECT":
                self._h2.send_data(stream, event.data or b"")
        elif isinstance(event, h2.events.StreamEnded):
            request = self._streams.pop(stream)
            if request["method"] == "CONNECT":
                self._h2.end_stream(stream)
            else:
                self._answer(stream, request)
        elif isinstance(event, h2.events.StreamReset):
            self._unsent.pop(stream, None)

    def _answer(self, stream: int, request: dict[str, Any]) -> None:
        path = request["path"].partition("?")[0]
        if path == "/refused" and self._system.refuses > 0:
            self._system.refuses -= 1
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._system.requests.append(request)
        if path == "/held":
            self._held.append((stream, request))
            if len(self._held) >= self._system.held:
                self._release()
            return
        if path == "/drop":
            self._writer.transport.abort()
            return
        if path == "/reset":
            self._h2.reset_stream(stream)
            return
        self._respond(stream, request, path)

    def _respond(self, stream: int, request: dict[str, Any], path: str) -> None:
        status = path.rpartition("/")[2] if path.startswith("/status/") else "200"
        body = json.dumps({"served_by": self._system.name, **request}).encode()
        if path.startswith("/size/"):
            body = b"x" * int(path.rpartition("/")[2])
        self._h2.send_headers(stream, [
            (":status", status), ("content-type", "application/json"),
            ("content-length", str(len(body))), ("x-system", self._system.name)],
            end_stream=request["method"] == "HEAD")
        if request["method"] != "HEAD":
            self._unsent[stream] = body
            self._send(stream)
        if path == "/ending":
            self._flush()
            self._last = stream
            self._writer.write(GoAwayFrame(0, last_stream_id=stream).serialize())
            self._release()
        if path == "/goaway":
            self._h2.close_connection(last_stream_id=stream)

    def _release(self) -> None:
        for stream, request in self._held:
            self._respond(stream, request, "/")
        self._held.clear()

    def _send(self, stream: int) -> None:
        while stream in self._unsent:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            part = self._unsent[stream][:room]
            left = self._unsent.pop(stream)[room:]
            if left:
                self._unsent[stream] = left
            self._h2.send_data(stream, part, end_stream=not left)

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


def _request(headers: Any) -> dict[str, Any]:
    texts = [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in headers]
    own = dict(texts)
    return {"method": own[":method"], "scheme": own[":scheme"], "host": own.get(":authority", ""),
            "path": own[":path"], "size": 0,
            "headers": {name: value for name, value in texts if not name.startswith(":")}}
