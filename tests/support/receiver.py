"""A real HTTP server that is told of decisions: it fails, is slow, and comes back on its port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook as Verifier

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent and answers with the statuses given, then with 204.

    `at_work` is called in each request, before the answer.
    """

    daemon_threads = True

    def __init__(
        self, *statuses: int, port: int = 0, at_work: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.statuses, self.at_work = list(statuses), at_work
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[dict[str, Any]] = []
        self.most_at_once, self._now, self._lock = 0, 0, threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    @property
    def kinds(self) -> list[str]:
        """What it took, by kind."""
        return [event["data"]["kind"] for event in self.taken]

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """Take a delivery as an independent implementation of the standard does."""
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        Verifier(SECRET).verify(body, headers)
        self.got.append((headers, body))
        self.at_work()
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.taken.append(json.loads(body))
        with self._lock:
            self._now -= 1
        return status


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(self.server.receive(headers, body))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver(*statuses: int, **options: Any) -> Iterator[Receiver]:
    """Run one on a free port, or on `port`."""
    server = Receiver(*statuses, **options)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
