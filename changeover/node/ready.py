"""The address at which a load balancer asks whether a node may get users: `GET /ready`."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from changeover.errors import EnvironmentProblem
from changeover.node.card import Card

ASK_SECONDS = 5.0
"""How long one who asks may take to say what."""


class Ready:
    """Answers 200 while users may be sent here and 503 while not, with JSON that says why.

    Args:
        card: What the node knows of itself.
        address: Where it answers, (host, port).

    Raises:
        EnvironmentProblem: The address cannot be used.
    """

    def __init__(self, card: Card, address: tuple[str, int]) -> None:
        class Handler(_Answers):
            node = card

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        try:
            self._server = Server(address, Handler)
        except OSError as error:
            raise EnvironmentProblem(
                f"the address for load balancers cannot be used: {error.strerror or error}",
                where=f"{address[0]}:{address[1]}",
                next_step="End what listens there, or give another with --ready") from error
        threading.Thread(target=self._server.serve_forever, name="ready", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Answers(BaseHTTPRequestHandler):
    """One request."""

    node: Card
    timeout = ASK_SECONDS

    def do_GET(self) -> None:
        """Say whether users may be sent here."""
        if self.path.partition("?")[0] != "/ready":
            self._answer(404, {"error": "only /ready is here"})
            return
        card = self.node
        found = card.readiness()
        epoch, version = card.served or (None, None)
        self._answer(200 if found.is_ready else 503, {
            "node": card.who.name, "migration": card.who.migration, "ready": found.is_ready,
            "state": str(found.state), "epoch": epoch, "version": version, "text": found.text})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: load balancers ask every second."""
