"""What users notice of the tap: nothing, they say; this measures it.

    python -m benchmarks.tapped
    python -m benchmarks.tapped --pairs 120 --delay 0

The systems take 5 ms for an answer, a fast service; with 0 they answer at once, and what is seen is
the gateway's own work alone. The gateway and the baseline have core 1; users, candidate and service
core 0, as on machines of their own. Users ask at a steady rate of half of the gateway's maximum
(benchmarks/steady.py: a request's latency counts from when it was due). While they ask, the tap is
switched on (10 % of the requests) and off every half second, in random order within each pair of
slices, so that a machine that is slow for a minute is slow for both; the first fifth of a slice
belongs to neither. The quantiles of all requests with the tap on are printed as ratio to those
with it off, with the 90 % interval of a bootstrap over the pairs, for a running service, one that
is frozen (SIGSTOP) and one that is killed. `nothing` switches nothing on: its interval is what the
machine lets anyone see. Needs wrk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from array import array
from bisect import bisect
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from benchmarks.shadow import Bench, bench
from changeover.store import comparisons
from tests.support.processes import end, running

SAMPLE = 1000
"""Of 10,000 requests are tapped."""
ROUNDS = 200
"""Resamples of the bootstrap (Efron 1979)."""
Slice = tuple[float, float, int]
"""From, to (seconds of `perf_counter`), and what was sampled."""


@dataclass
class Pair:
    """Latencies in seconds of two neighbouring slices, without tap and with it."""

    off: list[float] = field(default_factory=list)
    on: list[float] = field(default_factory=list)


def precedence() -> list[str]:
    """Return the command that no other process of this machine can delay; empty without rights."""
    command = ["chrt", "-f", "10"]
    is_allowed = subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode == 0
    return command if is_allowed else []


def most(found: Bench, seconds: int = 5) -> float:
    """Return the most requests a second that the gateway answers without tap."""
    command = ["taskset", "-c", "0", "wrk", "-t1", "-c128", f"-d{seconds}s", found.url]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]


def measured(
    found: Bench, rate: float, pairs: int, length: float, sample: int, progress: Progress, what: str
) -> tuple[list[Pair], int]:
    """Switch the tap on and off while users ask; return the pairs, and how many requests failed."""
    chance = random.Random(5)
    records = found.directory / "records"
    seconds = pairs * 2 * length + 2
    command = [*precedence(), "taskset", "-c", "0", sys.executable, "-m", "benchmarks.steady",
               found.url, "--rate", str(rate), "--seconds", str(seconds),
               "--records", str(records)]
    slices: list[Slice] = []
    told = found.directory / "told.json"
    told.unlink(missing_ok=True)
    with running(command, told) as users:
        time.sleep(1)  # connections are open, caches warm
        for _ in progress.track(range(pairs), description=what):
            for tapped in chance.sample([0, sample], 2) if sample else (0, 0):
                found.sample(tapped)
                began = time.perf_counter()
                time.sleep(length)
                slices.append((began + length / 5, time.perf_counter(), tapped))
        users.wait(seconds + 30)
    found.sample(0)
    return _paired(records, slices), json.loads(told.read_text())["failed"]


def _paired(records: Path, slices: list[Slice]) -> list[Pair]:
    """Return each request's latency in the pair of slices that it was due in."""
    values = array("d", records.read_bytes())
    starts = [start for start, _, _ in slices]
    pairs = [Pair() for _ in range(len(slices) // 2)]
    for due, latency in zip(values[::2], values[1::2], strict=True):
        number = bisect(starts, due) - 1
        if number >= 0 and due < slices[number][1]:
            pair, second = divmod(number, 2)
            is_on = slices[number][2] or (second and not slices[number - 1][2])
            (pairs[pair].on if is_on else pairs[pair].off).append(latency)
    return pairs


def quantile(values: list[float], share: float) -> float:
    """Return a quantile in milliseconds."""
    return sorted(values)[int(share * (len(values) - 1))] * 1000


def ratio(pairs: list[Pair], share: float) -> float:
    """Return the quantile with the tap on as ratio to that with the tap off."""
    on = [value for pair in pairs for value in pair.on]
    off = [value for pair in pairs for value in pair.off]
    return quantile(on, share) / quantile(off, share)


def report(what: str, pairs: list[Pair], failed: int) -> None:
    """Print p50, p90 and p99 of a state with their ratios and intervals."""
    chance = random.Random(9)
    lines = []
    for share in (0.5, 0.9, 0.99):
        resampled = sorted(
            ratio(chance.choices(pairs, k=len(pairs)), share) for _ in range(ROUNDS))
        low, high = (resampled[int(edge * (len(resampled) - 1))] for edge in (0.05, 0.95))
        off = quantile([value for pair in pairs for value in pair.off], share)
        lines.append(f"p{share * 100:g} {off:.2f} ms, {ratio(pairs, share):.2f} times "
                     f"({low:.2f} to {high:.2f})")
    number = sum(len(pair.on) for pair in pairs)
    print(f"{what:8} {'   '.join(lines)}   {number} requests with the tap, failed {failed}")


def main() -> None:
    """Measure the states and print what users saw."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=60)
    options.add_argument("--slice", type=float, default=0.5, metavar="SECONDS")
    options.add_argument("--delay", type=float, default=5, metavar="MS")
    options.add_argument("--states", nargs="+", default=["nothing", "tap", "frozen", "killed"],
                         choices=["nothing", "tap", "frozen", "killed"])
    given = options.parse_args()
    delay = given.delay / 1000
    with bench(others=0, max_load=1, first=precedence(), delay=delay) as found, \
            Progress() as progress:
        found.sample(0)
        rate = most(found) / 2
        print(f"{rate:.0f} requests/s, half of the maximum")
        for what in given.states:
            if what == "frozen":
                os.kill(found.service.pid, signal.SIGSTOP)
            if what == "killed":
                end(found.service)
            pairs, failed = measured(found, rate, given.pairs, given.slice,
                                     0 if what == "nothing" else SAMPLE, progress, what)
            if what == "frozen":
                os.kill(found.service.pid, signal.SIGCONT)
            report(what, pairs, failed)
        counts = comparisons.coverage(found.store, "benchmark")
    print("outcomes:", json.dumps(counts))


if __name__ == "__main__":
    main()
