"""A worker that is silent is asked to be started again: once, within a budget, and verified."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.health import RepairStatus
from changeover.observer.workers import BACKOFF, WITHIN, WorkerWatch
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import plans, repairs
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
SECOND = timedelta(seconds=1)


class Workers(ThreadingHTTPServer):
    """Prefect's answer about the workers of a pool, with the heartbeat that a test sets."""

    daemon_threads = True
    beat: datetime | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Workers

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        beat = self.server.beat
        rows = [{"last_heartbeat_time": beat.isoformat()}] if beat else []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(rows).encode())

    def do_GET(self) -> None:
        # nothing is deployed: the pool of `changeover up` counts
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def prefect() -> Iterator[Workers]:
    with Workers() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def watch(prefect: Workers, tmp_path: Path) -> Iterator[WorkerWatch]:
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    plans.register(store, make_plan(), source="test", now=clock.now())
    api = PrefectApi(f"http://127.0.0.1:{prefect.server_port}/api", timeout=LONGEST_PAUSE)
    site = Site(home, make_plan(), store)
    yield WorkerWatch(site, api, clock.now() - timedelta(minutes=5))
    store.close()


def ends(watch: WorkerWatch) -> list[str]:
    return [repair.status for repair in repairs.newest(watch.site.store, "bench")]


def test_a_silent_worker_is_asked_for_once_and_verified(
    watch: WorkerWatch, prefect: Workers
) -> None:
    """One request; done when the new one gives signs of life."""
    now = clock.now()
    prefect.beat = now - 120 * SECOND
    assert "a new worker was asked for because it is silent for 120 s" in watch.poll(now)
    assert watch.poll(now + 10 * SECOND) == ""
    assert watch.site.home.pop_restarts() == ["worker"]
    prefect.beat = now + 15 * SECOND
    assert "gives signs of life" in watch.poll(now + 20 * SECOND)
    assert watch.site.home.pop_restarts() == []
    assert ends(watch) == [RepairStatus.DONE]


def test_a_restart_that_did_not_help_is_failed_and_the_budget_ends(
    watch: WorkerWatch, prefect: Workers
) -> None:
    """Three attempts with growing waits in an hour, then no more."""
    now = clock.now()
    prefect.beat = now - 120 * SECOND
    for step in range(0, 3000, 10):
        watch.poll(now + step * SECOND)
    assert ends(watch) == [RepairStatus.FAILED] * 3
    first, second, _ = repairs.newest(watch.site.store, "bench")
    assert second.started_at - first.started_at >= max(BACKOFF, WITHIN)


@pytest.mark.parametrize("silent", [None, 30], ids=["never there", "30 s"])
def test_a_worker_that_works_or_has_not_begun_is_left_alone(
    watch: WorkerWatch, prefect: Workers, silent: int | None
) -> None:
    """`changeover up` starts the first one."""
    now = clock.now()
    prefect.beat = None if silent is None else now - silent * SECOND
    assert watch.poll(now) == ""
    assert watch.site.home.pop_restarts() == []


def test_a_worker_of_yesterday_gets_time_to_begin(watch: WorkerWatch, prefect: Workers) -> None:
    """Right after the start the last heartbeat is old, and that is no fault."""
    watch.began = clock.now()
    prefect.beat = clock.now() - timedelta(days=1)
    assert watch.poll(clock.now()) == ""


def test_a_worker_that_runs_elsewhere_is_nobodys_to_restart(
    watch: WorkerWatch, prefect: Workers
) -> None:
    """`changeover up --no-worker`: the health check says that it is silent, and that is all."""
    watch.site.home.save_settings({"has_worker": False})
    prefect.beat = clock.now() - timedelta(hours=1)
    assert watch.poll(clock.now()) == ""
    assert watch.site.home.pop_restarts() == []
    assert ends(watch) == []
