"""A small real system that speaks HTTP/1.1, on threads of the test: with TLS, or on a Unix socket.

Answers with what it got, as JSON: method, host, path, headers, and the body's size; with the status
`status`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any


class Http1System:
    """A server of the above.

    Args:
        name: What it calls itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.health: int | None = None
        """Status of its health; None: `status`."""
        self.requests: list[dict[str, Any]] = []
        self.peers: set[str] = set()
        """Common names of the certificates that clients showed."""

    @contextlib.contextmanager
    def serving(
        self, port: int | None = None, *, path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Iterator[None]:
        """Serve on a port, or at a Unix socket's path, until the block ends."""
        server = _Unix(path, self, tls) if path is not None else _Tcp(
            ("127.0.0.1", int(port or 0)), self, tls)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            # as when a process ends: its connections end, too
            for connection in list(server.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle_one_request()

    def _answer(self) -> None:
        system = self.server.system
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        # http.server makes one slash of several
        path = self.requestline.split(" ")[1]
        found = {"method": self.command, "path": path, "host": self.headers["host"],
                 "headers": {name.lower(): value for name, value in self.headers.items()},
                 "size": len(body)}
        system.requests.append(found)
        content = json.dumps({"served_by": system.name, **found}).encode()
        is_health = self.path.endswith("/health") and system.health is not None
        self.send_response(system.health if is_health else system.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _answer  # noqa: N815  names of http.server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A Unix socket has none."""
        return ""


class _Server(socketserver.ThreadingMixIn):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: Any, system: Http1System, tls: ssl.SSLContext | None) -> None:
        self.system, self._tls = system, tls
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)  # type: ignore[call-arg]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands on the connection's own thread."""
        if self._tls is not None:
            try:
                request = self._tls.wrap_socket(request, server_side=True)
            except OSError:
                return
            if certificate := request.getpeercert():
                subject = dict(part[0] for part in certificate["subject"])
                self.system.peers.add(str(subject["commonName"]))
        self.connections.add(request)
        with contextlib.suppress(OSError):
            super().finish_request(request, client_address)  # type: ignore[misc]
        self.connections.discard(request)


class _Tcp(_Server, socketserver.TCPServer):
    request_queue_size = 200


class _Unix(_Server, socketserver.UnixStreamServer):
    request_queue_size = 200
