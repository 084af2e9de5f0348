"""Hours of history of many gateways, filled by SQL: what a gate over them takes, what they weigh.

Part of benchmarks/fleet_scale.py. The rows are those that its nodes send; `of each` is the form in
which every gateway has minutes and hours of its own, as where no observer sums them up, and `of
all` the one that an observer makes. Both are read by the same code in the same run.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import text

from benchmarks.fleet_nodes import WEIGHT, Traffic
from changeover import clock
from changeover.analysis.sequential.slices import merged
from changeover.analysis.window import ALL_GATEWAYS, Sample
from changeover.plan.model import Plan
from changeover.site.bucket_sums import opened, packed
from changeover.store import fleet_sums, samples
from changeover.store.covering import HOUR, MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.sample_rows import FleetSumRow, values_of
from changeover.store.upserts import upsert_of

ROW_BYTES, INDEX_BYTES = 140, 110
"""Of a row of samples beside what was measured, and of its place in the primary key."""
SECONDS_KEPT, RAW_KEPT, DAYS = 6 * HOUR, samples.SETTLED_ON_FLEET + MINUTE, 30
_FILL = text("""
INSERT INTO sample (migration, system, resolution, at, gateway, watched, listened, measured,
                    compared, matched, similarity)
SELECT :migration, :system, :resolution, at, gateway, :resolution, 0, CAST(:measured AS JSON),
       0, 0, 0
FROM generate_series(CAST(:start AS BIGINT), CAST(:stop AS BIGINT) - 1, :resolution) AS at,
     unnest(CAST(:gateways AS TEXT[])) AS gateway
""")
SYSTEMS = 3
"""Baseline, candidate and the gateway itself have rows of their own."""
_EACH, _EACH_HOUR = "bytes of a node's minute by bucket", "bytes of a node's hour by bucket"
_ALL = "bytes of all nodes' minute by bucket"


def history(
    store: Store, plan: Plan, number: int, hours: int, *, most: int = 20
) -> dict[str, Any]:
    """Return what a gate over some hours takes in both forms, and what a month weighs.

    Of more than `most` gateways the first form is not read: it takes minutes.
    """
    traffic = Traffic(plan, 1)
    gateways = [f"edge-{each}" for each in range(number)]
    now = int(time.time()) // MINUTE * MINUTE + 45
    one, whole = traffic.good[0], _of_all(traffic, number)
    with store.begin() as session:
        for name, rows, who in (
                ("of each", one, gateways[:most]), ("of all", whole, [ALL_GATEWAYS])):
            whole_hours = (now - 2 * HOUR) // HOUR * HOUR
            for size, start, stop in (
                    (HOUR, now // HOUR * HOUR - hours * HOUR, whole_hours),
                    (MINUTE, whole_hours, now // MINUTE * MINUTE - 2 * MINUTE),
                    (SECOND, now // MINUTE * MINUTE - 2 * MINUTE, now - 2)):
                for row in rows:
                    session.execute(_FILL, _row(name, row, size, range(start, stop), who))
        for row in one:  # two seconds are not summed up yet
            session.execute(_FILL, _row("of all", row, SECOND, range(now - 2, now), gateways))
        session.execute(upsert_of(session)(FleetSumRow).values(
            migration="of all", since=now - 30 * DAYS * HOUR, until=now - 2, main_until=0))
    _analyze(store)
    result: dict[str, Any] = {"nodes": number, "hours": hours}
    for name, times in (("of each", 1 if number <= most else 0), ("of all", 9)):
        result[f"gate {name}, ms (its process's CPU)"] = _milliseconds(
            lambda name=name: samples.window(
                store, name, "candidate", start=clock.from_timestamp(now - hours * HOUR),
                end=clock.from_timestamp(now)), times)
    result |= _upkeep(store, one, gateways)
    sums = _slices(traffic, number)
    return result | sums | _month(store, number, sums)


def _of_all(traffic: Traffic, number: int) -> list[Sample]:
    """Return what all gateways measured in a second, of each system."""
    rows = [replace(row, gateway=f"edge-{each}") for each in range(number)
            for row in traffic.good[each % len(traffic.good)]]
    return samples.seconds_of_all(rows)


def _row(
    migration: str, row: Sample, size: int, span: range, gateways: Sequence[str]
) -> dict[str, Any]:
    measured = values_of(migration, row)["measured"]
    return {"migration": migration, "system": str(row.system), "resolution": size,
            "start": span.start, "stop": span.stop, "gateways": list(gateways),
            "measured": json.dumps(measured)}


def _analyze(store: Store) -> None:
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE sample"))


def _milliseconds(work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Return the median milliseconds of a call, and those of this process's CPU."""
    if not times:
        return 0.0, 0.0
    found, used = [], []
    for _ in range(times):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - cpu) * 1000)
    return round(statistics.median(found), 1), round(statistics.median(used), 1)


def _upkeep(store: Store, rows: Sequence[Sample], gateways: Sequence[str]) -> dict[str, Any]:
    """Return the CPU of summing up one minute of all gateways: as it passes, and for good."""
    start = int(time.time()) // MINUTE * MINUTE - 10 * MINUTE
    with store.begin() as session:
        for row in rows:
            session.execute(_FILL, _row("upkeep", row, SECOND, range(start, start + MINUTE),
                                        gateways))
    fleet_sums.begin(store, "upkeep", now=start - 1)
    began = time.process_time()
    for _ in range(MINUTE // fleet_sums.AT_ONCE):
        fleet_sums.merge(store, "upkeep", until=start + MINUTE)
    merged = time.process_time()
    samples.rollup(store, "upkeep", now=clock.now())
    return {"observer's CPU for the seconds of a minute, s": round(merged - began, 2),
            "observer's CPU for the minute itself, s": round(time.process_time() - merged, 2)}


def _slices(traffic: Traffic, number: int) -> dict[str, Any]:
    """Return how many bytes sums by bucket have, and the CPU of joining a minute of all nodes."""
    minute = traffic.growing[-1]
    began = time.process_time()
    joined = packed(merged([replace(opened(minute), weight=WEIGHT) for _ in range(number)]))
    took = time.process_time() - began
    hour = packed(merged([opened(minute)] * 60))
    return {_EACH: len(minute.sums), _EACH_HOUR: len(hour.sums), _ALL: len(joined.sums),
            "CPU of joining a minute by bucket, s": round(took, 2)}


def _month(store: Store, number: int, sums: dict[str, Any]) -> dict[str, Any]:
    """Return the gigabytes of a month with the default retention, in both forms."""
    with store.engine.connect() as connection:
        sizes = dict(connection.execute(text(
            "SELECT migration, avg(pg_column_size(measured))::float FROM sample "
            "WHERE migration LIKE 'of %' GROUP BY 1")).tuples().all())
    each, all_ = (sizes[name] + ROW_BYTES + INDEX_BYTES for name in ("of each", "of all"))
    long = DAYS * 24 * 60 + DAYS * 24  # minutes and hours
    kept = SYSTEMS * (long + SECONDS_KEPT)
    hours = DAYS * 24
    return {
        "bytes of a row of one gateway": round(each), "of all gateways": round(all_),
        "GB a month, each gateway by itself": round(number * (
            kept * each + hours * sums[_EACH_HOUR] + 120 * sums[_EACH]) / 1e9, 1),
        "GB a month, summed up": round((
            kept * all_ + number * SYSTEMS * RAW_KEPT * each
            + (hours + 120) * sums[_ALL] + 4 * number * sums[_EACH]) / 1e9, 2)}
