"""What a node answers over HTTP: small JSON documents, each connection in a thread of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from changeover.console.limiting import network
from changeover.errors import EnvironmentProblem
from changeover.machine.trust import Fresh

ASK_SECONDS = 5.0
"""How long one who asks may be silent."""
LONGEST_SECONDS = 15.0
"""How long a connection may last, whatever comes."""
HEAD_SECONDS = 2.0
"""After so long whoever has not sent the head of a request is left."""
MOST_AT_ONCE = 64
"""Connections at once: a stranger who opens thousands must not use up the machine."""
MOST_OF_ONE = 8
"""Of one address: an answer takes milliseconds and ends its connection, so that one that asks, as a
load balancer, never has so many. Others must not be kept out by one that is silent."""
MOST_OF_LOOPBACK = 32
"""Of this machine: all that come over a proxy here have its address."""


class Answers(BaseHTTPRequestHandler):
    """One request."""

    timeout = ASK_SECONDS

    def setup(self) -> None:
        """Begin to wait for the head of the request, the handshake of TLS among it."""
        super().setup()
        self._head = _timer(HEAD_SECONDS, self.request)
        self._head.start()

    def parse_request(self) -> bool:
        """Read the head; what follows has more time."""
        is_read = super().parse_request()
        self._head.cancel()
        return is_read

    def finish(self) -> None:
        """Wait for nothing any more."""
        self._head.cancel()
        super().finish()

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


class Slots:
    """Connections that are open, by address."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> bool:
        """Count one more connection of an address; return whether there may be one."""
        name = network(address)
        is_own = name.startswith("127.") or address == "::1"
        most = MOST_OF_LOOPBACK if is_own else MOST_OF_ONE
        with self._lock:
            is_free = self._open.total() < MOST_AT_ONCE and self._open[name] < most
            if is_free:
                self._open[name] += 1
            return is_free

    def give_back(self, address: str) -> None:
        """Count one less."""
        name = network(address)
        with self._lock:
            self._open[name] -= 1
            # strangers come and go
            if not self._open[name]:
                del self._open[name]


class Server(ThreadingHTTPServer):
    """Answers in threads; closed by `close`."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: type[Answers], shown: Fresh | None
    ) -> None:
        self._slots = Slots()
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
        if not self._slots.take(client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        # no thread can be started just now: the place must not be lost with it
        except BaseException:
            self._slots.give_back(client_address[0])
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection; one that goes on and on is ended."""
        timer = _timer(LONGEST_SECONDS, request)
        try:
            timer.start()
            super().process_request_thread(request, client_address)
        # no thread can be started just now
        except RuntimeError:
            self.shutdown_request(request)
        finally:
            timer.cancel()
            self._slots.give_back(client_address[0])

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


def _timer(seconds: float, request: Any) -> threading.Timer:
    """Return what ends a connection in some seconds, once it is started."""
    timer = threading.Timer(seconds, _end, (request,))
    timer.daemon = True
    return timer


def _end(request: Any) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
