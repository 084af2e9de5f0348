"""The real observer beside a real Envoy, two real systems and a real store."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.analysis.window import GATEWAY
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.gateway.accesslog import Entry, meant_for
from changeover.gateway.publish import Gateway
from changeover.gateway.tailer import Tailer
from changeover.observer.recovery import DURABLE_FLOWS, Recovery
from changeover.plan.model import Plan
from changeover.site.bucket_sums import opened
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import firings, gateway_seconds, plans, routing, slices
from changeover.store.engine import Store
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.prefect_runs import Prefect, prefect_alone
from tests.support.processes import LONGEST_PAUSE, end, kill, meanwhile, running, wait_for
from tests.support.ready_store import ready_store

ERRORS = {
    "name": "errors", "metric": "error_rate", "above": "5%", "for": "1s", "over": "2s",
    "min_samples": 5, "action": "rollback",
}


NO_FAST_PATH = {name: {"off": "this is about triggers"} for name in ("errors", "down")}


@dataclass
class Watched:
    """A migration that is watched: everything a test of the observer touches."""

    bench: Bench
    home: Home
    store: Store
    stack: ExitStack
    observer: subprocess.Popen[bytes] | None = None
    sent: int = 0
    failed: int = 0
    _load: list[threading.Event] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.bench.plan

    @property
    def gateway(self) -> Gateway:
        return self.bench.gateway

    def site(self, store: Store | None = None) -> Site:
        """Return the migration, with another connection to the store if one is given."""
        return Site(self.home, self.plan, store or self.store, self.gateway)

    @property
    def log(self) -> str:
        return (self.home.logs / "observer.log").read_text()

    def start_observer(self, *extra: str) -> None:
        """Start the observer and wait until it watches."""
        seen = self.log.count("observing bench") if self.observer else 0
        command = [sys.executable, "-m", "changeover.observer", "--home", str(self.home.root),
                   "--migration", "bench", *extra]
        self.observer = self.stack.enter_context(
            running(command, self.home.logs / "observer.log")
        )
        wait_for(lambda: self.log.count("observing bench") > seen, what="observer")

    def kill_observer(self) -> None:
        """End it as a crash does."""
        assert self.observer is not None
        kill(self.observer)

    def stop_observer(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.observer is not None
        self.observer.terminate()
        return self.observer.wait(LONGEST_PAUSE)

    def move(self, mode: Mode, weight: int = 0) -> RoutingState:
        """Change the store's state and bring it to the gateway, as flows do."""
        state = routing.change(
            self.store, "bench", Change(mode=mode, weight=weight, is_by_person=True),
            Author("test", "test"), now=clock.now())
        self.gateway.publish(self.plan, state)
        return state

    def state(self) -> RoutingState:
        return routing.read(self.store, "bench")

    def requests(self, count: int) -> None:
        """Send requests of many users."""
        with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
            for _ in range(count):
                self._one(client)

    def load(self, pause: float = 0.005) -> contextlib.AbstractContextManager[None]:
        """Keep sending requests meanwhile."""
        def send(done: threading.Event) -> None:
            with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
                while not done.wait(pause):
                    self._one(client)

        return meanwhile(send)

    def _one(self, client: httpx.Client) -> None:
        self.sent += 1
        headers = {"x-user-id": f"user-{next(_users)}"}
        self.failed += client.get(self.bench.url, headers=headers).status_code >= 500

    def goes_on(self, requests: int) -> None:
        """Wait until `load` has sent so many more requests."""
        goal = self.sent + requests
        wait_for(lambda: self.sent > goal, what=f"{requests} more requests")

    def measured(self) -> int:
        """Return how many requests the store knows of, in one-second samples."""
        known = gateway_seconds.recent(self.store, "bench", since=clock.from_timestamp(0))
        return sum(sample.requests for sample in known if sample.system != GATEWAY)

    def compared(self) -> int:
        """Return how many requests the sums by bucket have, or leave out, in the store."""
        now = int(clock.now().timestamp()) + 60
        found = [
            opened(each) for weight in (0, 5000)
            for each in slices.between(self.store, "bench", weight=weight, start=0, end=now)
        ]
        return sum(int(each.counts("errors").requests.sum()) + sum(each.excluded.values())
                   for each in found)

    def entries(self) -> list[Entry]:
        """Return the requests that the access log has so far."""
        return Tailer(self.gateway.files.access_log, {}).read()

    def logged(self) -> int:
        """Return how many requests of the access log were meant for a system."""
        return sum(meant_for(entry) is not None for entry in self.entries())

    def meant(self, last: int) -> set[str]:
        """Return which systems the last requests were meant for, once all are in the access log."""
        wait_for(lambda: self.logged() >= self.sent, what="the access log's last lines")
        systems = [str(system) for entry in self.entries()
                   if (system := meant_for(entry)) is not None]
        return {*systems[-last:]}

    @contextlib.contextmanager
    def locked_store(self) -> Iterator[None]:
        """Hold the database's write lock, as a stuck process does."""
        path = self.store.engine.url.database
        connection = sqlite3.connect(str(path), isolation_level=None, timeout=LONGEST_PAUSE)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def firings(self) -> list[tuple[str, str]]:
        return [(f.trigger, f.action) for f in firings.all_of(self.store, "bench")]


_users = itertools.count()

Start = Callable[..., Watched]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts everything for a plan with the given triggers."""
    with ExitStack() as stack:

        def begin(
            *triggers: dict[str, object], observe: bool = True, **parts: object
        ) -> Watched:
            if triggers:  # they are what is tested: the fast path would come first
                parts.setdefault("guardrails", NO_FAST_PATH)
            plan = make_plan(triggers=list(triggers), **parts)
            home = Home(tmp_path / "home")
            home.create()
            # start_bench keeps the gateway under DIRECTORY/gateway, as the home does.
            bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
            store = ready_store(home.store_url, timeout=LONGEST_PAUSE)
            stack.callback(store.close)
            plans.register(store, plan, source="test", now=clock.now())
            watched = Watched(bench, home, store, stack)
            watched.sent += bench_requests(bench)
            if observe:
                watched.start_observer()
            return watched

        yield begin


def bench_requests(bench: Bench) -> int:
    """Send one request, and return how many were sent until it was in the access log."""
    httpx.get(bench.url, headers={"x-user-id": "first"}, timeout=LONGEST_PAUSE)

    def logged() -> int:
        entries = Tailer(bench.gateway.files.access_log, {}).read()
        return len(entries) if "first" in {entry.key for entry in entries} else 0

    return int(str(wait_for(logged, what="access log")))


__all__ = ["ERRORS", "Start", "Watched", "end"]


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A Prefect server for all tests here."""
    with prefect_alone(tmp_path_factory.mktemp("prefect")) as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with the migration `bench`."""
    opened = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plans.register(opened, make_plan(), source="test", now=clock.now())
    yield opened
    opened.close()


@pytest.fixture
def site(tmp_path: Path, store: Store, prefect: Prefect) -> Site:
    """The migration `bench`, its Prefect that of all tests here; nothing serves users."""
    home = Home(tmp_path / "home")
    home.create()
    found = Site(home, make_plan(), store)
    found.prefect = prefect.api
    return found


@pytest.fixture
def recovery(site: Site, prefect: Prefect) -> Recovery:
    """The recovery of `bench`'s runs; runs of other tests are ended first."""
    for run in prefect.api.runs(DURABLE_FLOWS, ["CRASHED", "FAILED", "RUNNING", "PENDING"]):
        prefect.set(run.id, "CANCELLED")
    return Recovery(site, prefect.api)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home without a gateway."""
    found = Home(tmp_path / "home")
    found.create()
    return found
