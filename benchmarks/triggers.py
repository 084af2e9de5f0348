"""What triggers cost the observer: 20 of them, watched every second, and their evidence.

    python -m benchmarks.triggers
    python -m benchmarks.triggers --seconds 600 --hours 48

Printed: milliseconds that one second takes with 20 triggers (five with short windows, five with
windows of five minutes, five by evidence, five with error budgets of three days), at 1,000 requests
a second; milliseconds in which the evidence of 20 triggers is weighed, in the first minutes of a
stage and after many hours, with the pause that follows from it; and both together as a mean of each
second (claimed: under 20 ms).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from changeover.analysis.histogram import Histogram, bin_of
from changeover.analysis.sequential.buckets import Numbers
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.sequential.watching import weigh_trigger
from changeover.analysis.window import Sample
from changeover.domain.routing import BUCKETS
from changeover.observer.evidence import MOST_OF_A_SECOND, PAUSE_SECONDS
from changeover.observer.watch import Watch
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec

EACH = 5
BEGIN = 1_700_000_000
METRICS = ("error_rate", "server_error_rate", "user_error_rate", "client_error_rate", "empty_rate")
SEED = 20261129
WEIGHT = 1_000


def _trigger(kind: str, number: int, **keys: Any) -> dict[str, Any]:
    return {"name": f"{kind}{number}", "metric": METRICS[number], "action": "alert", **keys}


def triggers() -> list[dict[str, Any]]:
    """Return 20 triggers of four kinds."""
    found = []
    for number in range(EACH):
        bound = {"above": f"{number + 5}%", "for": "30s"}
        found += [
            _trigger("short", number, over="10s", **bound),
            _trigger("long", number, over=f"{5 + number}m", **bound),
            _trigger("evidence", number, ratio_to_baseline=1.5 + number / 10),
            _trigger("budget", number, budget={"objective": "99.9%"}),
        ]
    return found


def plan(chosen: list[dict[str, Any]]) -> Plan:
    """Return a plan with triggers."""
    system = {"name": "x", "url": "http://127.0.0.1:1"}
    return Plan.model_validate({
        "migration": "benchmark", "systems": {"baseline": system, "candidate": system},
        "phases": [{"phase": "gradual", "stages": [{"percent": 10, "soak": "48h"}]}],
        "triggers": chosen})


def sample(system: str, at: int, chance: np.random.Generator) -> Sample:
    """Return a second of a system: 100 requests of the candidate, 900 of the baseline."""
    requests = 100 if system == "candidate" else 900
    durations = (chance.lognormal(11, 0.6, requests)).astype(int)
    bins: dict[int, int] = {}
    for duration in durations:
        index = bin_of(int(duration))
        bins[index] = bins.get(index, 0) + 1
    users = tuple(sorted(int(each) for each in chance.integers(0, 1 << 32, 64)))
    return Sample(
        system, at, requests=requests, answers=requests, latency=Histogram(bins), probes=1,
        probes_up=1, errors={"status_5xx": int(chance.binomial(requests, 0.001))},
        users={"answer": users}, watched=1)


def seconds(number: int) -> list[float]:
    """Return the milliseconds that each second takes, once the windows are full."""
    chance = np.random.default_rng(SEED)
    watch = Watch(plan(triggers()))
    full, spent = 600, []
    for at in range(BEGIN, BEGIN + full + number):
        found = [sample(system, at, chance) for system in ("baseline", "candidate")]
        start = time.thread_time()
        watch.feed(found)
        watch.step(at)
        spent.append((time.thread_time() - start) * 1_000)
    return spent[full:]


def sums(hours: int) -> StageSums:
    """Return a stage of so many hours at 1,000 requests a second, after an hour of the baseline."""
    chance = np.random.default_rng(SEED)
    past, *stage = (_hour(chance) for _ in range(hours + 1))
    start = datetime.fromtimestamp(BEGIN, UTC)
    return StageSums(WEIGHT, stage, Slice(0, 0, 3600, past.sums), start,
                     start + timedelta(hours=hours), 20)


def _hour(chance: np.random.Generator) -> Slice:
    number = chance.poisson(360, BUCKETS)
    bad: dict[str, Numbers] = {name: chance.binomial(number, 0.001) for name in (
        Counter.ERRORS, Counter.SERVER_ERRORS, Counter.USER_ERRORS, Counter.CLIENT_ERRORS,
        Counter.EMPTY_ANSWERS)}
    return Slice(WEIGHT, 0, 3600, {Counter.REQUESTS: number, Counter.ANSWERS: number, **bad})


def weighing(hours: int) -> float:
    """Return the milliseconds in which the evidence of 20 triggers is weighed."""
    specs = [TriggerSpec.model_validate(_trigger(
        f"evidence{part}-", number, ratio_to_baseline=1.5 + number / 10 + part))
        for part in range(4) for number in range(EACH)]
    stage = sums(hours)

    def look() -> None:
        for spec in specs:
            weigh_trigger(spec, stage)

    look()
    return statistics.median(_timed(look) for _ in range(5))


def _timed(action: Callable[[], None]) -> float:
    start = time.thread_time()
    action()
    return (time.thread_time() - start) * 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=120, help="Seconds that are watched.")
    parser.add_argument("--hours", type=int, default=48, help="Hours of the long stage.")
    arguments = parser.parse_args()
    spent = seconds(arguments.seconds)
    mean = statistics.fmean(spent)
    print(f"a second with 20 triggers: mean {mean:.1f} ms, worst {max(spent):.1f} ms")
    for hours in (1, arguments.hours):
        look = weighing(hours)
        pause = max(PAUSE_SECONDS, look / 1_000 / MOST_OF_A_SECOND)
        each = look / pause
        print(f"evidence of 20 triggers after {hours} h: {look:.0f} ms every {pause:.1f} s, that "
              f"is {each:.1f} ms a second; with the second itself {mean + each:.1f} ms")


if __name__ == "__main__":
    main()
