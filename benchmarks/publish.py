"""How long a publish takes, and how soon after it the candidate is left alone, under load.

    python benchmarks/publish.py [--publishes 10] [--rollbacks 5]

Real Envoy and two small systems on loopback. `publish` is from the call to Envoy's confirmation;
`last candidate request` is from the call of a rollback's publish to the last answer that users got
from the candidate. Exit code 1 when the median publish takes 50 ms or more, or a request failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from changeover.domain.routing import Mode
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import load

MOST_SECONDS = 0.05


def publish(bench: Bench, **changes: object) -> float:
    """Publish the next state; return the seconds to its confirmation."""
    bench.state = replace(
        bench.state, version=bench.state.version + 1, **changes,  # type: ignore[arg-type]
    )
    return bench.gateway.publish(bench.plan, bench.state).seconds


def rollbacks(bench: Bench, count: int) -> tuple[list[float], list[float], int, int]:
    """Roll back under load; return (publishes, last candidate answers, requests, failures)."""
    took, last, requests, failed = [], [], 0, 0
    for _ in range(count):
        publish(bench, mode=Mode.GRADUAL, weight=5_000)
        with load(bench.plan) as users:
            users.goes_on(300)
            began = time.monotonic()
            took.append(publish(
                bench, mode=Mode.EMERGENCY_ROLLBACK, weight=0, epoch=bench.state.epoch + 1
            ))
            users.goes_on(300)
        times = [answer.at for answer in users.answers if answer.served == "candidate"]
        last.append(max(0.0, max(times) - began))
        requests += len(users.answers)
        failed += len(users.failed)
    return took, last, requests, failed


def _line(name: str, seconds: list[float]) -> str:
    values = [value * 1000 for value in seconds]
    return (f"{name:34} median {statistics.median(values):6.1f} ms   "
            f"worst {max(values):6.1f} ms   of {len(values)}")


def main() -> int:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--publishes", type=int, default=10)
    options.add_argument("--rollbacks", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as directory:
        for bench in start_bench(make_plan(), Path(directory)):
            idle = [publish(bench, mode=Mode.GRADUAL, weight=1_000 + 10 * number)
                    for number in range(given.publishes)]
            busy, last, requests, failed = rollbacks(bench, given.rollbacks)
    print(_line("publish, idle", idle))
    print(_line("publish of a rollback, under load", busy))
    print(_line("last candidate request after it", last))
    print(f"{requests} requests under load, {failed} failed")
    return 1 if statistics.median(idle) >= MOST_SECONDS or failed else 0


if __name__ == "__main__":
    sys.exit(main())
