"""From the first failure of a candidate that answers nobody until everyone is at the baseline.

    python -m benchmarks.fast_path
    python -m benchmarks.fast_path --rounds 10 --rate 10

Each round starts two systems, Envoy and the observer with a plan without any trigger, moves half of
the users, and has the candidate killed, or answer 503. Printed: seconds from the first request that
it failed until the rollback began (claimed: under 2 s) and until its last request ended.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from changeover import clock
from changeover.domain.routing import Mode, System
from changeover.gateway.accesslog import classify
from changeover.site.home import Home
from changeover.store import firings, plans
from changeover.store.engine import Store
from tests.integration.conftest import make_plan, start_bench
from tests.integration.observer.conftest import Watched, bench_requests
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

KINDS = ("killed", "503")


def run(kind: str, rate: float) -> tuple[str, float, float]:
    """Return (guardrail, seconds until the rollback began, until the last request)."""
    with tempfile.TemporaryDirectory(prefix="changeover-benchmark-") as folder, \
            ExitStack() as stack:
        watched = _started(Path(folder), stack)
        watched.move(Mode.GRADUAL, 5000)
        with watched.load(pause=1 / rate):
            wait_for(lambda: watched.measured() > 2 * rate, what="traffic")
            if kind == "killed":
                kill(watched.bench.processes["candidate"])
            else:
                watched.bench.fault(kind)
            wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the rollback")
            wait_for(watched.firings, what="the firing")
            watched.goes_on(int(rate))
        return _measured(watched)


def _started(folder: Path, stack: ExitStack) -> Watched:
    home, plan = Home(folder / "home"), make_plan()
    home.create()
    bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
    store = Store.open(home.store_url, create=True, timeout=LONGEST_PAUSE)
    stack.callback(store.close)
    plans.register(store, plan, source="benchmark", now=clock.now())
    watched = Watched(bench, home, store, stack)
    watched.sent += bench_requests(bench)
    watched.start_observer()
    return watched


def _measured(watched: Watched) -> tuple[str, float, float]:
    outcomes = [(entry.end, classify(entry)) for entry in watched.entries()]
    failed = [end for end, outcome in outcomes
              if outcome and outcome.system is System.CANDIDATE and outcome.error]
    firing = firings.all_of(watched.store, "bench")[0]
    began = firing.fired_at.timestamp()
    return firing.trigger, began - min(failed), max(failed) - min(failed)


def main() -> None:
    """Run the rounds and print medians and worst values."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="Rounds of each kind.")
    parser.add_argument("--rate", type=float, default=50.0, help="Requests per second.")
    arguments = parser.parse_args()
    for kind in KINDS:
        found = [run(kind, arguments.rate) for _ in range(arguments.rounds)]
        for name, values in (("began", [each[1] for each in found]),
                             ("last request", [each[2] for each in found])):
            print(f"{kind:7} {name:13} median {statistics.median(values):5.2f} s, worst "
                  f"{max(values):5.2f} s")
        print(f"{kind:7} by {', '.join(sorted({each[0] for each in found}))}")


if __name__ == "__main__":
    main()
