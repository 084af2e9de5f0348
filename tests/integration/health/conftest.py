"""A running migration's store, two systems and a gateway, for health checks."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.checks.health.checks import checks_of
from changeover.checks.health.result import Health
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import heartbeats, plans
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.store.conftest import postgres_url
from tests.support.ready_store import ready_store

__all__ = ["postgres_url"]
Place = Callable[..., tuple[Site, Bench]]


class Figures(ThreadingHTTPServer):
    """Answers every path with the JSON and status that a test sets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Figures

    def do_GET(self) -> None:
        status, content = self.server.answers.get(self.path, (200, {}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def figures() -> Iterator[Figures]:
    """A server of figures."""
    with Figures() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a function that starts everything for a plan's health part."""
    with ExitStack() as stack:

        def begin(**parts: Any) -> tuple[Site, Bench]:
            plan = make_plan(health_timeout="30s", **parts)
            home = Home(tmp_path / "home")
            home.create()
            bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
            store = ready_store(home.store_url)
            stack.callback(store.close)
            plans.register(store, plan, source="test", now=clock.now())
            home.save_settings({
                "plan": str(tmp_path / "plan.yaml"), "migration": "bench",
                "processes": {name: {"pid": process.pid, "created": 0.0}
                              for name, process in bench.processes.items()}})
            heartbeats.beat(store, "bench/observer", pid=1, now=clock.now())
            return Site(home, plan, store), bench

        yield begin


def look(site: Site, name: str) -> Health:
    """Carry out one check."""
    return checks_of(site)[name]()
