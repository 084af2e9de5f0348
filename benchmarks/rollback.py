"""From a trigger's complete evidence to the verified report, in the demo.

    python -m benchmarks.rollback
    python -m benchmarks.rollback --rounds 1 --fault crash@25

Each round is a whole `changeover demo` whose candidate begins to fail. Printed: seconds from the
first request that the candidate failed, in the stage that was rolled back, until the rollback began
(claimed: under 2 s where everything fails, as with `crash`); from the evidence being complete until
the gateway confirmed the routes to the baseline (step 1) and until the end of the last request that
the candidate got (both claimed: under 1.5 s), until the rollback was verified, and until its report
was written (claimed: under 30 s); and the requests of users that failed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, classify, meant_for
from changeover.gateway.tailer import Tailer
from changeover.site.home import Home
from changeover.store import firings, report_files, rollbacks
from changeover.store.engine import Store

MIGRATION = "documents"
ROLLED_BACK = 3


@dataclass(frozen=True)
class Round:
    """Seconds since the evidence was complete, and how many requests of users failed.

    `begun` is counted from the first request that the candidate failed in a row.
    """

    begun: float
    step_1: float
    last_request: float
    verified: float
    reported: float
    failed: int


def run(fault: str) -> Round:
    """Run one demo and read what it left in the store."""
    with tempfile.TemporaryDirectory(prefix="changeover-benchmark-") as folder:
        home = Home(Path(folder) / "home")
        done = subprocess.run(
            [sys.executable, "-m", "changeover.cli", "demo", "--approve", "--fault", fault,
             "--home", str(home.root)], capture_output=True, text=True, timeout=580, check=False)
        if done.returncode != ROLLED_BACK:
            raise SystemExit(f"the demo ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        store = Store.open(home.store_url)
        try:
            failed = json.loads((home.root / "load.json").read_text())
            entries = [entry for entry in Tailer(home.gateway_files.access_log, {}).read()
                       if meant_for(entry) is System.CANDIDATE]
            return _measured(store, entries, sum(n for key, n in failed.items()
                                                 if key.startswith("failed_")))
        finally:
            store.close()


def _first_failure(entries: Sequence[Entry], before: float) -> float:
    """Return when the last row of failures of the candidate began before a time."""
    first = before
    for entry in sorted(entries, key=lambda each: each.end, reverse=True):
        if entry.end > before:
            continue
        outcome = classify(entry)
        if outcome is None or outcome.error is None:
            break
        first = entry.end
    return first


def _measured(store: Store, entries: Sequence[Entry], failed: int) -> Round:
    firing = next(f for f in firings.all_of(store, MIGRATION) if f.action == "rollback")
    rollback = rollbacks.all_of(store, MIGRATION)[-1]
    report = report_files.latest(store, MIGRATION, "cutover")
    if firing.published_at is None or rollback.ended_at is None or report is None:
        raise SystemExit("the rollback did not end")
    if rollback.status != "completed":
        raise SystemExit(f"the rollback is {rollback.status}: {rollback.analysis}")
    start = firing.evidence_complete_at
    last_request = max(entry.end for entry in entries)
    begun = firing.fired_at.timestamp()
    return Round(
        begun=begun - _first_failure(entries, begun),
        step_1=(firing.published_at - start).total_seconds(),
        last_request=last_request - start.timestamp(),
        verified=(rollback.ended_at - start).total_seconds(),
        reported=(report.at - start).total_seconds(), failed=failed)


def main() -> None:
    """Run the rounds and print medians and worst values."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="Demos to run.")
    parser.add_argument("--fault", default="errors@25", help="As of `changeover demo`.")
    arguments = parser.parse_args()
    rounds = []
    for number in range(arguments.rounds):
        rounds.append(run(arguments.fault))
        print(f"round {number + 1}: {rounds[-1]}")
    for name in ("begun", "step_1", "last_request", "verified", "reported"):
        values = [getattr(each, name) for each in rounds]
        print(f"{name:12} median {statistics.median(values):6.2f} s, worst {max(values):6.2f} s")
    print(f"failed requests of users: {sum(each.failed for each in rounds)}")


if __name__ == "__main__":
    main()
