"""A real console beside a real store; with `gateway()` also beside a real Envoy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.domain.tokens import Scope, Token
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import plans, routing, tokens
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.processes import free_port, kill, running, wait_for
from tests.support.ready_store import ready_store


@dataclass
class Served:
    """A console that answers, with a client that may write."""

    home: Home
    plan: Plan
    store: Store
    stack: ExitStack
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the console's process and wait until it answers."""
        command = [sys.executable, "-m", "changeover.console", "--home", str(self.home.root),
                   "--migration", self.plan.migration, "--host", self.host,
                   "--port", str(self.port)]
        self.process = self.stack.enter_context(running(command, self.log))
        wait_for(lambda: httpx.get(f"{self.url}/health").is_success, seconds=60, what="console")

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        kill(self.process)

    @property
    def log(self) -> Path:
        return self.home.logs / "console.log"

    def token(self, scope: Scope = Scope.WRITE, lifetime: timedelta | None = None) -> str:
        """Make a token and return its text."""
        now = clock.now()
        return tokens.create(self.store, Token(
            self.plan.migration, str(scope), scope, created_at=now, created_by="test",
            expires_at=now + lifetime if lifetime else None))[1]

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client; without a token it says nothing about itself."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        return self.stack.enter_context(client)

    def move(self, mode: Mode, weight: int = 0, **fields: Any) -> RoutingState:
        """Bring the store to a mode, by way of others where the rules ask for it."""
        present = routing.read(self.store, self.plan.migration)
        if mode is Mode.CANDIDATE_ONLY and present.mode is not Mode.GRADUAL:
            self.move(Mode.GRADUAL)
        return routing.change(
            self.store, self.plan.migration,
            Change(mode=mode, weight=weight, is_by_person=True, **fields), Author("test", "test"),
            now=clock.now())


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a console for a plan."""
    with ExitStack() as stack:
        yield partial(started, stack, Home(tmp_path / "home"))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console that the tests of a module share: none of them harms it."""
    with ExitStack() as stack:
        yield started(stack, Home(tmp_path_factory.mktemp("console") / "home"))


def started(
    stack: ExitStack, home: Home, plan: Plan | None = None, *, host: str = "127.0.0.1"
) -> Served:
    """Start a console for a plan, or for one without anything special."""
    home.create()
    store = ready_store(home.store_url)
    stack.callback(store.close)
    chosen = plan or make_plan()
    plans.register(store, chosen, source="test", now=clock.now())
    served = Served(home, chosen, store, stack, host)
    served.start()
    return served


def metrics_of(console: Served, token: str | None = None) -> str:
    """Return the text of `/metrics` as it is made from now on: it is kept for a second."""
    client, since = console.client(token), clock.now().timestamp()

    def made_since() -> str | None:
        text = client.get("/metrics").raise_for_status().text
        made = text.partition("\nchangeover_exposition_timestamp_seconds{")[2]
        at = float(made.partition("\n")[0].rpartition(" ")[2])
        return text if at >= since else None

    return str(wait_for(made_since, seconds=30, what="a text that is made anew"))


__all__ = ["Serve", "Served", "metrics_of"]
