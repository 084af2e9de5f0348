"""What the client of Prefect's API does when the server is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from changeover.site.prefect_api import PrefectApi
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration


class _Busy(BaseHTTPRequestHandler):
    """Answers 503 twice, as a server does whose database is locked, and then 200."""

    left = 2

    def do_GET(self) -> None:
        """Answer."""
        status = 503 if _Busy.left > 0 else 200
        _Busy.left -= 1
        self.send_response(status)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def busy_server() -> Iterator[str]:
    """A server that is busy for its first two requests."""
    _Busy.left = 2
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()


def test_busy_server_is_asked_again(busy_server: str) -> None:
    """A locked database of Prefect's costs a moment and no answer."""
    assert PrefectApi(busy_server, timeout=LONGEST_PAUSE).is_alive()
    assert _Busy.left < 0
