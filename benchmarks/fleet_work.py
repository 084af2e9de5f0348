"""What hundreds of gateway nodes cost the observer, in its own CPU, whatever else the machine does.

    python -m benchmarks.fleet_work
    python -m benchmarks.fleet_work --nodes 200 --seconds 20

The rows are those of benchmarks/fleet_nodes.py (sums of 5,000 requests a second of each node, two
routes) in a real PostgreSQL. The parts of the observer that read and add up run in this process,
second by second as fast as they can, and CPU seconds of this thread count: for each second of the
fleet, for its way of before (the newest five seconds of all nodes at each of 6.7 polls), and to sum
up a minute. `delay` is what reading a second adds before it can be judged, on a free core.
Then what rows weigh. It ends by itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.fleet_light import SAMPLES, rows_of
from benchmarks.fleet_nodes import Traffic
from benchmarks.fleet_scale import database, make_plan, new_database
from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.routing import RoutingState
from changeover.gateway.absent import AbsentGateway
from changeover.observer.nodes import POLL_SECONDS, Nodes
from changeover.observer.notices import Notices
from changeover.observer.watch import Watch
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, gateway_seconds, minutes, plans, samples
from changeover.store.covering import MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity

PARTS = 3
"""Nodes send within some tenths of a second: so many polls find a part of a second each."""
BEFORE_SECONDS = 5
_SIGN = text("UPDATE gateway_node SET state = 'ready', seen = clock_timestamp(), epoch = 0, "
             "version = 1, measured_until = :until WHERE name = ANY(:names)")


class Fleet:
    """Nodes whose rows are written by one statement for each second.

    Args:
        store: The store.
        plan: The migration's plan.
        number: How many nodes.
    """

    def __init__(self, store: Store, plan: Plan, number: int) -> None:
        self._store = store
        self._good = rows_of(Traffic(plan, 1).good)
        self.names = [f"edge-{each}" for each in range(number)]
        for name in self.names:
            gateway_nodes.join(store, Identity(plan.migration, name, name, "127.0.0.1:1"))

    def send(self, at: int, names: Sequence[str]) -> None:
        """Send a second of some nodes, and their signs of life."""
        systems, measured = map(list, zip(*self._good[at % len(self._good)], strict=True))
        connection = self._store.engine.raw_connection()
        try:
            with connection.cursor() as cursor:
                cursor.executemany(SAMPLES, [(at, name, systems, measured) for name in names])
            connection.commit()
        finally:
            connection.close()
        with self._store.begin() as session:
            session.execute(_SIGN, {"until": at + 1, "names": list(names)})


def work(site: Site, fleet: Fleet, seconds: int) -> dict[str, float]:
    """Return the CPU of a second's reading, adding and judging, and of its slowest part."""
    nodes, watch = Nodes(site, Notices()), Watch(site.plan)
    start = int(time.time()) - 90
    state, spent, judged = RoutingState(site.migration), [], []
    size = -(-len(fleet.names) // PARTS)
    nodes.restore(start)
    nodes.begin()
    for at in range(start, start + seconds):
        own = [Sample(system, at, requests=1, watched=1, listened=0)
               for system in ("baseline", "candidate")]
        taken = 0.0
        for first in range(0, len(fleet.names), size):
            fleet.send(at, fleet.names[first:first + size])
            taken += _cpu(lambda: nodes.poll(state))
        # the polls of a second that find nothing
        idle = _cpu(lambda: nodes.poll(state)) * max(0.0, 1 / POLL_SECONDS - PARTS)
        last = _cpu(lambda own=own, at=at: _judge(nodes, watch, own, at))
        spent.append(taken + idle + last)
        judged.append(taken / PARTS + last)
    # the first ones read what was there before
    half = len(spent) // 2
    return {"observer's CPU for each second, s": _mean(spent[half:]),
            "delay by reading and judging on a free core, s": _mean(judged[half:])}


def _judge(nodes: Nodes, watch: Watch, own: list[Sample], at: int) -> None:
    watch.feed(nodes.merged(own, at + 1))
    watch.step(at)


def before(site: Site) -> float:
    """Return the CPU of reading as before: the newest seconds of all nodes, at each poll."""
    def read() -> None:
        with site.store.read() as session:
            first = samples.first_from(session, site.migration, SECOND, 0) or 0
            samples.read_rows(session, site.migration, None, SECOND,
                              span=range(first, first + BEFORE_SECONDS))

    return _cpu(read) / POLL_SECONDS


def upkeep(site: Site, fleet: Fleet) -> float:
    """Return the CPU of summing up a minute, from ten seconds of it."""
    start, part = int(time.time()) // MINUTE * MINUTE - 30 * MINUTE, 10
    with site.store.begin() as session:
        session.execute(text("DELETE FROM sample"))
    for at in range(start, start + part):
        fleet.send(at, fleet.names)
    taken = _cpu(lambda: minutes.rollup(site.store, site.migration, now=clock.now()))
    return taken * MINUTE / part


def restart(site: Site) -> float:
    """Return the CPU of reading a minute of seconds at a start, from the ten that are there."""
    since = clock.from_timestamp(time.time() - 3600)
    return _cpu(lambda: gateway_seconds.recent(site.store, site.migration, since=since)) * 6


def weights(site: Site, number: int) -> dict[str, Any]:
    """Return the bytes of rows, and of a month with the plan's retention of seconds and minutes."""
    with site.store.engine.connect() as connection:
        size, rows = connection.execute(text(
            "SELECT pg_total_relation_size('sample'), count(*) FROM sample")).one()
    each = size / rows
    kept = site.plan.retention.seconds.total_seconds() + 30 * 24 * 60 + 30 * 24
    return {"bytes of a row, index included": round(each),
            "rows a second": 3 * number, "MB a second": round(3 * number * each / 1e6, 2),
            "GB a month, without sums by bucket": round(3 * number * kept * each / 1e9, 1)}


def _cpu(action: Callable[[], object]) -> float:
    began = time.thread_time()
    action()
    return time.thread_time() - began


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)


def measured(url: str, folder: Path, number: int, seconds: int) -> dict[str, Any]:
    """Return all figures of a number of nodes."""
    store, plan = Store.open(url, create=True), make_plan(1)
    plans.register(store, plan, source="benchmark", now=clock.now())
    home = Home(folder / f"home-{number}")
    home.create()
    site = Site(home, plan, store, AbsentGateway(home.gateway_files, store, plan.migration))
    fleet = Fleet(store, plan, number)
    result: dict[str, Any] = {"nodes": number} | work(site, fleet, seconds)
    result["CPU of reading as before, s"] = round(before(site), 2)
    result["MB of memory at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result |= weights(site, number)
    result["CPU to sum up a minute, s"] = round(upkeep(site, fleet), 1)
    result["CPU to read a minute at a start, s"] = round(restart(site), 1)
    store.close()
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 5, 50, 200])
    parser.add_argument("--seconds", type=int, default=12, help="of traffic, at most 60")
    asked = parser.parse_args()
    # what was started ends with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        with database(folder) as (server, _):
            for number in asked.nodes:
                url = new_database(server, f"work_{number}")
                found = measured(url, folder, number, min(60, asked.seconds))
                print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
