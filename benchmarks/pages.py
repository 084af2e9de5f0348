"""What open pages cost the console, how late they are, and whether they slow a claim or a flag.

    python -m benchmarks.pages
    python -m benchmarks.pages --pages 50 --seconds 30

A real console on SQLite. Both systems' samples are written every second as the observer does. Pages
are open streams of the overview. CPU is that of the console's process and of the one that renders;
"late" is the time from a second's sample being stored to its arrival at the page; claims and flags
are asked one after another, without pages and with them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import threading
import time
from dataclasses import dataclass, field

import httpx
import psutil

from benchmarks.console import Bench, calibration, console
from changeover.analysis.window import Sample
from changeover.store import samples

HISTORY = 3600
"""Seconds of traffic before the first page is opened."""


@dataclass
class Writer:
    """Writes both systems' samples each second, and knows when each second was stored."""

    bench: Bench
    stored: dict[int, float] = field(default_factory=dict)
    is_ended: threading.Event = field(default_factory=threading.Event)

    def history(self) -> None:
        """Write the hour before now."""
        now = int(time.time())
        samples.write(self.bench.store, "bench", [
            _sample(system, at) for system in ("baseline", "candidate")
            for at in range(now - HISTORY, now)])

    def run(self) -> None:
        """Write until the end."""
        while not self.is_ended.wait(1 - time.time() % 1):
            at = int(time.time()) - 1
            samples.write(self.bench.store, "bench", [
                _sample("baseline", at), _sample("candidate", at)])
            self.stored[at + 1] = time.time()


def _sample(system: str, at: int) -> Sample:
    return Sample(system, at, requests=100 + at % 7, probes=1, probes_up=1,
                  memory_bytes=50_000_000, errors={"status_5xx": at % 3})


@dataclass
class Seen:
    """What the pages got."""

    octets: int = 0
    events: int = 0
    first: dict[int, float] = field(default_factory=dict)


async def look(url: str, seen: Seen, until: float) -> None:
    """Hold a page open."""
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
        client.stream("GET", f"{url}/live/overview") as answer,
    ):
        async for line in answer.aiter_lines():
            seen.octets += len(line)
            if line.startswith("data: "):
                seen.events += 1
                measured = json.loads(line.removeprefix("data: "))["measured_at"]
                seen.first.setdefault(int(measured or 0), time.time())
            if time.monotonic() > until:
                return


async def hold(bench: Bench, pages: int, seconds: float) -> Seen:
    """Hold some pages open for some seconds."""
    seen, until = Seen(), time.monotonic() + seconds
    await asyncio.gather(*(look(bench.url, seen, until) for _ in range(pages)))
    return seen


def lateness(stored: dict[int, float], first: dict[int, float]) -> list[float]:
    """Return for each stored second how long it took until a page had it, or a later one."""
    late, arrived = [], sorted(first.items(), reverse=True)
    for second, at in stored.items():
        had = [when for measured, when in arrived if measured >= second]
        if had and second >= min(first):
            late.append(max(0.0, min(had) - at))
    return late


def ask(bench: Bench, seconds: float) -> dict[str, tuple[float, float]]:
    """Ask for claims and flags by turns; return median and 99th percentile in ms of each."""
    took: dict[str, list[float]] = {"claim": [], "flags": []}
    numbers, run = itertools.count(), time.time_ns()
    headers = {"authorization": f"Bearer {bench.token}"}
    with httpx.Client(base_url=bench.url, headers=headers, trust_env=False) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number = next(numbers)
            for name, path, body in (
                ("claim", f"/v1/claims/{run}-{number}", {"system": "baseline", "holder": "w"}),
                ("flags", "/ofrep/v1/evaluate/flags",
                 {"context": {"targetingKey": f"user-{number}"}}),
            ):
                began = time.perf_counter()
                client.post(path, json=body).raise_for_status()
                took[name].append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)
    return {name: (statistics.median(each), statistics.quantiles(each, n=100)[98])
            for name, each in took.items()}


def used(process: psutil.Process) -> dict[str, float]:
    """Return the seconds of CPU of the console and of what renders for it."""
    own = process.cpu_times()
    found = {"console": own.user + own.system, "renderer": 0.0}
    for child in process.children(recursive=True):
        times = child.cpu_times()
        found["renderer"] += times.user + times.system
    return found


def main() -> None:
    """Measure without pages, then with them."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pages", type=int, default=50)
    options.add_argument("--seconds", type=float, default=30)
    given = options.parse_args()
    with console("sqlite") as bench:
        writer = Writer(bench)
        writer.history()
        thread = threading.Thread(target=writer.run, daemon=True)
        thread.start()
        _measure(bench, writer, given.pages, given.seconds)
        writer.is_ended.set()
        thread.join()


def _measure(bench: Bench, writer: Writer, pages: int, seconds: float) -> None:
    ask(bench, 3)  # warm
    alone = ask(bench, seconds / 2)
    asyncio.run(hold(bench, 1, 5))  # the renderer begins, its imports do not count
    before, began = used(bench.process), time.monotonic()
    seen = asyncio.run(hold(bench, pages, seconds))
    took, after = time.monotonic() - began, used(bench.process)
    late = lateness(writer.stored, seen.first)
    print(f"{pages} pages, {took:.0f} s, fixed work {calibration() * 1000:.1f} ms")
    for name, start in before.items():
        print(f"{name}: {(after[name] - start) / took * 100:.1f} % of a core")
    print(f"{seen.events / pages / took:.2f} events and "
          f"{seen.octets / pages / took / 1000:.1f} kB a page and second")
    print(f"late: median {statistics.median(late):.2f} s, most {max(late):.2f} s")
    holder = threading.Thread(target=lambda: asyncio.run(hold(bench, pages, seconds / 2 + 2)))
    holder.start()
    time.sleep(2)
    beside = ask(bench, seconds / 2)
    holder.join()
    for name, (median, high) in alone.items():
        found = beside[name]
        print(f"{name}: alone {median:.2f} ms (99 %: {high:.2f}), beside pages "
              f"{found[0]:.2f} ms ({found[1]:.2f}), {found[0] / median:.2f} times")


if __name__ == "__main__":
    main()
