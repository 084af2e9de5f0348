"""A migration's main machine and gateway nodes that share nothing with it but a PostgreSQL."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import GatewayNode
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.procedures import traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, plans, routing, samples
from changeover.store.engine import Store
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.store.conftest import new_database, postgres_template, postgres_url
from tests.support.processes import (
    LONGEST_PAUSE,
    end_envoy,
    free_port,
    kill,
    meanwhile,
    running,
    wait_for,
)

__all__ = ["postgres_template", "postgres_url"]  # fixtures
_users = itertools.count()


@dataclass
class Node:
    """A gateway node as it is run: its own home and ports, the database's address, nothing else."""

    name: str
    command: list[str]
    home: Home
    port: int
    ready_port: int
    store: Store
    stack: ExitStack
    process: subprocess.Popen[bytes] | None = None
    migration: str = "bench"

    def start(self, **env: str) -> None:
        """Start it, as a process manager does."""
        if self.process is None:
            self.stack.callback(end_envoy, self.home)
        self.process = self.stack.enter_context(running(self.command, self.log_path, **env))

    def wait_ready(self) -> None:
        """Wait until a load balancer would send users."""
        wait_for(lambda: self.ready().status_code == 200, seconds=30, what=f"{self.name} is ready")

    @property
    def log_path(self) -> Path:
        return self.home.root.parent / f"{self.name}.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway(self) -> Gateway:
        return Gateway(GatewayFiles(self.home.root / "gateway"), name=self.name)

    @property
    def envoy_pid(self) -> int:
        entry = self.home.process("envoy")
        assert entry is not None
        return int(entry["pid"])

    def ready(self) -> httpx.Response:
        """Ask as a load balancer does."""
        return httpx.get(f"http://127.0.0.1:{self.ready_port}/ready", timeout=2)

    def row(self) -> GatewayNode | None:
        """Return what the store knows of it, also when it has gone."""
        with self.store.read() as session:
            row = session.get(gateway_nodes.GatewayNodeRow, (self.migration, self.name))
            return None if row is None else gateway_nodes.to_record(GatewayNode, row)

    def kill(self) -> None:
        """End its program as a crash does; Envoy runs on."""
        assert self.process is not None
        kill(self.process)

    def ask(self, count: int) -> dict[str, int]:
        """Send requests of new users; return how often each system answered."""
        served: dict[str, int] = {}
        with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
            for _ in range(count):
                answer = client.get(self.url, headers={"x-user-id": f"user-{next(_users)}"})
                answer.raise_for_status()
                name = str(answer.json()["served_by"])
                served[name] = served.get(name, 0) + 1
        return served

    def measured(self) -> int:
        """Return how many requests meant for a system the store knows from it, by the second."""
        span = range(0, int(clock.now().timestamp()) + 60)
        with self.store.read() as session:
            rows = samples.read_rows(session, "bench", None, 1, span=span)
        return sum(row.requests for row in rows
                   if row.gateway == self.name and row.system in ("baseline", "candidate"))


    def wait_measured(self, sent: int) -> None:
        """Wait until so many requests are in the store."""
        wait_for(lambda: self.measured() >= sent, what=f"{sent} measured, not {self.measured()}")


@dataclass
class Nodes:
    """Nodes of one migration.

    Args:
        store: Where tests look at what nodes say.
        url: Address of the database, as the next node reaches it.
        directory: Where homes lie.
        stack: Ends them.
        migration: Name of the migration.
    """

    store: Store
    url: str
    directory: Path
    stack: ExitStack
    migration: str = "bench"
    nodes: list[Node] = field(default_factory=list)

    def node(self, name: str, *options: str) -> Node:
        """Return a node that is not started yet."""
        port, ready = free_port(), free_port()
        root = self.directory / name / "home"
        root.mkdir(parents=True)
        command = [
            sys.executable, "-m", "changeover.cli", "gateway", "--store", self.url,
            "--migration", self.migration, "--name", name, "--listen", f"127.0.0.1:{port}",
            "--ready", f"127.0.0.1:{ready}", "--home", str(root), "--drain", "1s", *options]
        node = Node(name, command, Home(root), port, ready, self.store, self.stack,
                    migration=self.migration)
        self.nodes.append(node)
        return node

    def start(self, *names: str) -> list[Node]:
        """Start nodes and wait until they are ready."""
        found = [self.node(name) for name in names]
        for node in found:
            node.start()
        for node in found:
            node.wait_ready()
        return found


@dataclass(kw_only=True)
class Fleet(Nodes):
    """The main machine and its nodes."""

    bench: Bench
    home: Home

    @property
    def plan(self) -> Plan:
        return self.bench.plan

    @property
    def site(self) -> Site:
        return Site(self.home, self.plan, self.store, self.bench.gateway)

    def move(self, mode: Mode, weight: int = 0) -> RoutingState:
        """Move users as flows and people do."""
        change = Change(mode=mode, weight=weight, is_by_person=True)
        return traffic.move(self.site, change, Author("test", "test"))

    def state(self) -> RoutingState:
        return routing.read(self.store, self.migration)

    def start_observer(self) -> subprocess.Popen[bytes]:
        """Start the main machine's observer and wait until it watches."""
        log = self.home.logs / "observer.log"
        process = self.stack.enter_context(running(
            [sys.executable, "-m", "changeover.observer", "--home", str(self.home.root),
             "--migration", self.migration], log))
        wait_for(lambda: f"observing {self.migration}" in log.read_text(), what="observer")
        return process

    def load(self, *nodes: Node, pause: float = 0.01) -> contextlib.AbstractContextManager[None]:
        """Keep sending requests to nodes meanwhile, each its own thread."""
        stack = ExitStack()
        for node in nodes:
            stack.enter_context(meanwhile(lambda done, node=node: _send(node, done, pause)))
        return stack


def _send(node: Node, done: threading.Event, pause: float) -> None:
    with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
        while not done.wait(pause):
            client.get(node.url, headers={"x-user-id": f"user-{next(_users)}"})


class Link:
    """The way from a node to the database, which can be cut without ending anything."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target, self.is_cut = target, False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            if self.is_cut:
                client.close()
                continue
            upstream = socket.socket(
                socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
            upstream.connect(self._target)
            for ends in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while self.is_cut:  # what is under way stays under way
                    time.sleep(0.02)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.close()


def link_of(url: str) -> tuple[Link, str]:
    """Return a way to a database that can be cut, and the database's address over it."""
    parsed = make_url(url)
    folder = parsed.query.get("host")
    if isinstance(folder, str) and folder.startswith("/"):
        target: tuple[str, int] | str = f"{folder}/.s.PGSQL.{parsed.port or 5432}"
    else:
        target = (parsed.host or "127.0.0.1", parsed.port or 5432)
    link = Link(target)
    over = parsed.set(host="127.0.0.1", port=link.port, query={})
    return link, over.render_as_string(hide_password=False)


Begin = Callable[..., Fleet]


@pytest.fixture
def begin(
    tmp_path: Path, postgres_url: str, postgres_template: str,
) -> Iterator[Begin]:
    """Return a function that starts the main machine of a plan."""
    with ExitStack() as stack:

        def start(**parts: Any) -> Fleet:
            url = new_database(postgres_url, template=postgres_template)
            return start_fleet(stack, tmp_path, url, **parts)

        yield start


def start_fleet(stack: ExitStack, directory: Path, url: str, **parts: Any) -> Fleet:
    """Start the main machine of a plan; it ends with the stack.

    Args:
        stack: Ends it.
        directory: Where it and its nodes keep their files.
        url: A database with the tables of a store.
        parts: Parts of the plan.
    """
    plan = make_plan(**parts)
    home = Home(directory / "main")
    home.create()
    home.save_secrets({"store_url": url})
    bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
    store = Store.open(url, timeout=LONGEST_PAUSE)
    stack.callback(store.close)
    plans.register(store, plan, source="test", now=clock.now())
    return Fleet(store, url, directory, stack, plan.migration, bench=bench, home=home)


@pytest.fixture
def fleet(begin: Begin) -> Fleet:
    """A main machine without nodes."""
    return begin()
