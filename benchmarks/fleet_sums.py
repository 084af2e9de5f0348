"""What the sums of hundreds of gateway nodes weigh, and what a gate over 48 hours reads of them.

    python -m benchmarks.fleet_sums
    python -m benchmarks.fleet_sums --nodes 200

A minute of simulated nodes (benchmarks/fleet_work.py) in a real PostgreSQL is summed up and closed
as the observer does it; CPU seconds of this thread count, and for closing the time it takes, too.
Then rows like these fill two days in three ways: as before (a row of each node for each hour and
minute), with hours of all nodes and minutes of each for six hours, and with minutes of each for 15
minutes (`retention: {seconds: 15m}`). A month has the default retention of minutes cut to 30 days.
It ends by itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.fleet_scale import database, make_plan, new_database
from benchmarks.fleet_work import Fleet
from changeover import clock
from changeover.plan.procedures import RetentionSpec
from changeover.store import minutes, plans, pruning, samples
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store

DAYS, WINDOW = 30, 48
YOUNG = 75
"""Minutes that are in no hour yet, on average: half an hour, and the quarter that an hour waits."""
EDGE = 60
"""Seconds that are in no minute yet, on average."""
_FILL = """
INSERT INTO sample SELECT migration, system, {size}, :first + {size} * step, gateway, watched,
  listened, measured, compared, matched, similarity
FROM {table}, generate_series(0, :steps - 1) AS step"""


class Rows:
    """Rows of a second, a minute and a closed minute of a fleet.

    Args:
        url: Address of an empty database.
        nodes: How many nodes.
    """

    def __init__(self, url: str, nodes: int) -> None:
        self.store, self.nodes = Store.open(url, create=True), nodes
        plan = make_plan(1)
        plans.register(self.store, plan, source="benchmark", now=clock.now())
        self.at = int(time.time()) // HOUR * HOUR - HOUR
        fleet = Fleet(self.store, plan, nodes)
        for at in range(self.at, self.at + MINUTE):
            fleet.send(at, fleet.names)
        later = clock.from_timestamp(self.at + 3 * MINUTE)
        self._keep("second", f"resolution = 1 AND at = {self.at}")
        self.took = {"CPU to sum up a minute, s": _timed(
            lambda: minutes.rollup(self.store, "fleet", now=later))[0]}
        self._keep("node", "resolution = 60")
        kept = RetentionSpec(seconds=timedelta(0), minutes=timedelta(days=DAYS))
        cpu, took = _timed(lambda: pruning.prune(self.store, "fleet", kept, now=later))
        self.took |= {"CPU to close a minute, s": cpu, "time to close a minute, s": took}
        self._keep("closed", "resolution = 60")

    def _keep(self, name: str, which: str) -> None:
        self._do(f"CREATE TABLE kept_{name} AS SELECT * FROM sample WHERE {which}")  # noqa: S608

    def _do(self, statement: str, **values: int) -> Any:
        with self.store.begin(is_durable=False) as session:
            found = session.execute(text(statement), values)
            return found.scalar() if found.returns_rows else None

    def empty(self) -> None:
        """Have no measurements."""
        self._do("TRUNCATE sample")

    def fill(self, name: str, first: int, steps: int, size: int) -> None:
        """Insert rows like one of them, from a Unix second on."""
        if steps > 0:
            self._do(_FILL.format(table=f"kept_{name}", size=size), first=first, steps=steps)

    def bytes_of(self, name: str) -> float:
        """Return the bytes of all systems' rows of a kind for one moment, index included."""
        rows = int(self._do(f"SELECT count(*) FROM kept_{name}"))  # noqa: S608
        steps = max(1, 3000 // rows)
        self.empty()
        self.fill(name, 0, steps, MINUTE)
        return float(self._do("SELECT pg_total_relation_size('sample')")) / steps

    def bytes_of_masks(self) -> float:
        """Return the bytes of a minute's masks, index included."""
        self._do("DELETE FROM minute_seconds WHERE NOT is_closed")
        self._do("INSERT INTO minute_seconds SELECT migration, system, at + 60 * step, gateways, "
                 "is_closed FROM minute_seconds, generate_series(1, 2000) AS step")
        return float(self._do("SELECT pg_total_relation_size('minute_seconds')")) / 2001

    def gate(self, hour: str, young_of_nodes: int) -> tuple[float, float]:
        """Return the CPU and time of a gate over 48 hours, in seconds.

        Args:
            hour: Of what hours are.
            young_of_nodes: How many of the newest minutes are of each node.
        """
        self.empty()
        first = self.at - WINDOW * HOUR
        end = self.at + YOUNG * MINUTE
        self.fill(hour, first, WINDOW, HOUR)
        old = YOUNG - young_of_nodes
        self.fill("closed", self.at, old, MINUTE)
        self.fill("node", self.at + old * MINUTE, young_of_nodes, MINUTE)
        self.fill("second", end, EDGE, 1)
        self._do("ANALYZE sample")
        return _timed(lambda: samples.window(
            self.store, "fleet", "candidate", start=clock.from_timestamp(first),
            end=clock.from_timestamp(end + EDGE)))


def _timed(action: Any) -> tuple[float, float]:
    """Return the CPU of this thread and the time that something takes."""
    began, since = time.thread_time(), time.monotonic()
    action()
    return round(time.thread_time() - began, 2), round(time.monotonic() - since, 2)


def measured(url: str, number: int) -> dict[str, Any]:
    """Return all figures of a number of nodes."""
    rows = Rows(url, number)
    second, node, closed = map(rows.bytes_of, ("second", "node", "closed"))
    masks = rows.bytes_of_masks()
    months = {}
    for name, kept in (("6h", 6 * HOUR), ("15m", 15 * MINUTE)):
        for way, minute, hour in (("before", node, node), ("now", closed + masks, closed)):
            young = kept / MINUTE * (node + masks) if way == "now" else 0
            total = kept * second + young + DAYS * 24 * (60 * minute + hour)
            months[f"GB a month {way}, seconds {name}"] = round(total / 1e9, 1)
    gates = {"as before": rows.gate("node", YOUNG), "hours of all": rows.gate("closed", YOUNG),
             "seconds 15m": rows.gate("closed", 16)}
    rows.store.close()
    return {"nodes": number, **rows.took, "bytes of a second": round(second),
            "of a minute of nodes": round(node), "of a closed minute": round(closed),
            "of its masks": round(masks), **months,
            "gate over 48h, CPU and time": gates}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[5, 50, 200])
    asked = parser.parse_args()
    # what was started ends with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with (tempfile.TemporaryDirectory(prefix="changeover-bench-") as name,
          database(Path(name)) as (server, _)):
        for number in asked.nodes:
            found = measured(new_database(server, f"sums_{number}"), number)
            print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
