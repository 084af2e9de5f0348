"""What a node answers over HTTP: small JSON documents, each connection in a thread of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from changeover.errors import EnvironmentProblem
from changeover.machine.trust import Fresh

ASK_SECONDS = 5.0
"""How long one who asks may be silent."""
LONGEST_SECONDS = 15.0
"""How long a connection may last, whatever comes."""
MOST_AT_ONCE = 64
"""Connections at once: a stranger who opens thousands must not use up the machine."""


class Answers(BaseHTTPRequestHandler):
    """One request."""

    timeout = ASK_SECONDS

    def answer(self, status: int, content: dict[str, object], **headers: str) -> None:
        """Send a JSON document."""
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: load balancers ask every second, and strangers whatever they like."""


class Server(ThreadingHTTPServer):
    """Answers in threads; closed by `close`."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: type[Answers], shown: Fresh | None
    ) -> None:
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._fresh, self._shown = shown, shown.newest() if shown is not None else None
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        """Take a connection; the certificate may have been renewed."""
        request, client_address = super().get_request()
        if self._fresh is None or self._shown is None:
            return request, client_address
        # between two steps of a replacement the old one is still good
        with contextlib.suppress(OSError):
            self._shown = self._fresh.newest()
        # the handshake in the connection's thread: here one that hangs would stop all others
        return self._shown.wrap_socket(
            request, server_side=True, do_handshake_on_connect=False), client_address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer one more connection, unless there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection; one that goes on and on is ended."""
        timer = threading.Timer(LONGEST_SECONDS, _end, (request,))
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that ended early, or that is no TLS."""

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


def serve(
    address: tuple[str, int], handler: type[Answers], *, what: str, option: str,
    shown: Fresh | None = None,
) -> Server:
    """Answer at an address from now on.

    Args:
        address: Host and port.
        handler: Answers one request.
        what: What the address is for, and `option` what gives another one.
        option: As said.
        shown: The certificate that is shown; None for plain HTTP.

    Raises:
        EnvironmentProblem: The address cannot be used.
    """
    try:
        server = Server(address, handler, shown)
    except OSError as error:
        raise EnvironmentProblem(
            f"the address for {what} cannot be used: {error.strerror or error}",
            where=f"{address[0]}:{address[1]}",
            next_step=f"End what listens there, or give another with {option}") from error
    threading.Thread(target=server.serve_forever, name=what, daemon=True).start()
    return server


def _end(request: Any) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
