"""The health check as it is scheduled: how long it takes, and what one a minute costs.

    python -m benchmarks.health [--runs 6]

A whole `changeover up` with 21 checks of real things. Wall time is a run's own, from its start to
its end in Prefect; CPU is what the worker used meanwhile, its asking for work included, for each
run that ended. Claimed: under 5 s, and under 10 % of one core at one a minute.
Exit code 1 when a claim does not hold.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from changeover.site.prefect_api import PrefectApi
from changeover.store import health_results
from tests.support.processes import free_port, upstream
from tests.support.site import QUICK, Site, site

CHECKS, MOST_SECONDS, MOST_SHARE = 20, 5.0, 0.10
HEALTH = """\
health:
  folders: {{data: ., logs: .}}
  nodes: {{ocr: {{of: candidate, path: /nodes/ocr}}, llm: {{of: candidate, path: /nodes/llm}}}}
  services:
    ocr: {{url: "{url}", pair: reading}}
    llm: {{url: "{url}", pair: reading}}
    queue: {{url: "{url}"}}
    mail: {{url: "{url}"}}
  databases:
    shop: {{database: {{url: "sqlite:///{shop}"}}}}
    files: {{database: {{url: "sqlite:///{shop}"}}}}
  memory_limits:
    old: {{of: baseline, limit: 2GB}}
    new: {{of: candidate, limit: 2GB}}
  limits: {{ai_concurrency_limit: 1}}
  memory: {{warning: 98%, critical: 99%}}
  disk: {{warning: 98%, critical: 99%}}
"""


def _run(found: Site) -> dict[str, Any]:
    """Run the health check once and return the run that ended, as Prefect tells it."""
    api = PrefectApi(found.api.url, timeout=60)  # the machine may be busy with others' work
    run_id, deadline = api.start("health-check/main", parameters={}), time.monotonic() + 240
    while time.monotonic() < deadline:
        row = _ask(found, "GET", f"/flow_runs/{run_id}")
        if row["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return dict(row)
        time.sleep(0.5)
    raise SystemExit("a health check did not end within 240 s")


def _ask(found: Site, method: str, path: str, body: Any = None) -> Any:
    return httpx.request(method, found.api.url + path, json=body, timeout=60).json()


def _cpu(worker: psutil.Process) -> float:
    """Return the CPU seconds of the worker, which makes health checks itself, and its children."""
    return float(sum(worker.cpu_times()[:4]))


def _ended(found: Site) -> int:
    """Return how many health checks have ended so far, those of the schedule included."""
    where = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}},
             "flows": {"name": {"any_": ["health-check"]}}}
    return int(_ask(found, "POST", "/flow_runs/count", where))


def _quiet(found: Site) -> None:
    """Wait until no flow process runs, so that its CPU is counted whole."""
    while found.flow_processes():
        time.sleep(0.3)


def _bare_import() -> float:
    """Return the CPU seconds of `import prefect` alone: what a busy machine makes of a second."""
    done = subprocess.run(
        [sys.executable, "-c", "import time, prefect; print(time.process_time())"], check=True,
        capture_output=True, text=True, timeout=120)
    return float(done.stdout)


def measure(found: Site, runs: int) -> tuple[list[float], float, int]:
    """Return (seconds of each run, CPU seconds of one, how many checks it made)."""
    _run(found)
    worker = psutil.Process(found.pid("worker"))
    _quiet(found)
    cpu, ended = _cpu(worker), _ended(found)
    seconds = []
    for number in range(1, runs + 1):
        row = _run(found)
        print(f"run {number}: {row['state_name']}, {row['total_run_time']:.2f} s")
        if row["state_type"] in ("COMPLETED", "FAILED"):  # else the schedule's own was running
            seconds.append(float(row["total_run_time"]))
    _quiet(found)
    each = (_cpu(worker) - cpu) / max(1, _ended(found) - ended)
    results = health_results.latest(found.store, "site")
    for result in results:
        if result.status not in ("healthy", "warning"):
            print(f"{result.check}: {result.status}, {result.detail}")
    return seconds, each, len(results)


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--runs", type=int, default=6)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder, port = Path(name), free_port()
        with sqlite3.connect(folder / "shop.db") as connection:
            connection.execute("create table orders (id integer primary key)")
        health = HEALTH.format(url=f"http://127.0.0.1:{port}", shop=folder / "shop.db")
        with upstream("service", port, folder), site(folder, QUICK + health) as found:
            seconds, cpu, checks = measure(found, given.runs)
    share, bare = cpu / 60, _bare_import()
    print(f"{checks} checks: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s "
          f"of {len(seconds)} runs (claimed: under {MOST_SECONDS:g} s for {CHECKS})")
    print(f"CPU {cpu:.2f} s for each run: {share:.1%} of one core at one a minute "
          f"(claimed: under {MOST_SHARE:.0%}); {cpu / bare:.1f} times a bare `import prefect`, "
          f"which takes {bare:.2f} s here and now")
    is_kept = checks >= CHECKS and max(seconds) < MOST_SECONDS and share < MOST_SHARE
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
