"""`/metrics` of a full migration: how long a scrape takes, and what it costs claims and flags.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --rounds 8 --seconds 5

A real console process on SQLite: 50 checks, 20 triggers, 2,000 places that differ, a stage of 48
hours with the sums of all buckets. Flags and claims are asked one after the other, in rounds
without and with four Prometheus servers that scrape each second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.backtest import hour_of
from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.domain.audit import Author
from changeover.domain.comparisons import Compared, Example
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.domain.rollout import Standing
from changeover.domain.routing import Change, Mode
from changeover.domain.slices import LogPlace
from changeover.domain.tokens import Scope, Token
from changeover.domain.verdict import Verdict
from changeover.machine.ports import free_port
from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.store import (
    comparisons,
    cutovers,
    flags,
    plans,
    routing,
    samples,
    slices,
    standings,
    tokens,
    trigger_standings,
)
from changeover.store.engine import Store

NAME = "bench"
CHECKS, TRIGGERS, PLACES, HOURS, SCRAPERS = 50, 20, 2_000, 48, 4
PLAN = Plan.model_validate({
    "migration": NAME,
    "systems": {"baseline": {"name": "a", "url": "http://127.0.0.1:1"},
                "candidate": {"name": "b", "url": "http://127.0.0.1:2"}},
    "flags": {"new_parser": False},
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": "7d"}]}],
    "triggers": [{"name": f"t{number}", "metric": "error_rate", "above": "10%", "for": "1s",
                  "action": "alert"} for number in range(TRIGGERS)],
})


def fill(store: Store) -> None:
    """Store a stage of two days, with everything that is shown of it."""
    now = clock.now()
    begun = now - timedelta(hours=HOURS)
    plans.register(store, PLAN, source="benchmark", now=begun)
    flags.follow_plan(store, PLAN, now=begun)
    state = Change(mode=Mode.GRADUAL, weight=5000)
    routing.change(store, NAME, state, Author("benchmark", "benchmark"), now=begun)
    cutover = cutovers.begin(store, NAME, flow_run_id="a", now=begun)
    stage = PLAN.stages()[0]
    cutovers.enter_stage(store, cutover.id, stage, now=begun)
    check = CheckSpec(metric="error_rate", ratio_to_baseline=2)
    evidence = {
        "metric": "error_rate", "of": "candidate", "bound": "at most 2 × baseline",
        "verdict": "inconclusive", "reason": "not yet", "value": 0.01, "samples": 900,
        "baseline_value": 0.01, "interval": {"of": "ratio", "low": 0.5, "high": 2.0},
        "sequential": {"log_worse": -1.0, "log_bar": 4.6, "stage": {"log_better": 1.0}},
        "check": check.model_dump(mode="json", exclude_none=True)}
    standings.save(store, Standing(
        cutover.id, stage.key, "slo", now + timedelta(hours=1), Verdict.INCONCLUSIVE, "not yet",
        [evidence] * CHECKS))
    trigger_standings.save(store, NAME, [
        TriggerStanding(NAME, each.name, now + timedelta(hours=1), Stands.ARMED, now, 0.05,
                        "quiet", {}, {}) for each in PLAN.triggers])
    traffic(store)


def traffic(store: Store) -> None:
    """Store what both systems did, and how they differ."""
    now, chance = int(clock.now().timestamp()), np.random.default_rng(1)
    first = now - HOURS * 3600
    found = []
    for hour in range(HOURS):
        found.append(packed(hour_of(chance, 5000, first + hour * 3600)))
    slices.save(store, NAME, found, LogPlace(1, first), gateway="main")
    latency = Histogram.of(chance.integers(1_000, 500_000, 300).tolist())
    for system in ("baseline", "candidate"):
        samples.write(store, NAME, [
            Sample(system, at, requests=300, errors={"timeout": 1}, latency=latency, probes=1,
                   probes_up=1) for at in range(now - 600, now + 600)])
    differing = []
    for number in range(PLACES):
        place = f"$.p{number}"
        example = Example("GET /", place, "changed", "1", "2")
        differing.append(Compared(
            clock.now(), "GET /", str(number), 0.5, False, 0.01, 0.01, {place: example}))
    comparisons.write(store, NAME, differing, {"seen": PLACES}, now=clock.now())


@contextmanager
def console() -> Iterator[httpx.Client]:
    """Run a console of the full migration; yield a client that may write."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.create()
        store = Store.open(home.store_url, create=True)
        fill(store)
        token = tokens.create(store, Token(
            NAME, "benchmark", Scope.WRITE, created_at=clock.now(), created_by="benchmark"))[1]
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "changeover.console", "--home", str(home.root),
             "--migration", NAME, "--host", "127.0.0.1", "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers={
                    "authorization": f"Bearer {token}"}) as client:
                await_console(client)
                yield client
        finally:
            process.terminate()
            process.wait()
            store.close()


def await_console(client: httpx.Client) -> None:
    """Wait until the console answers."""
    for _ in range(600):
        try:
            client.get("/health").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the console does not answer")


def timed(action: Callable[[], httpx.Response]) -> float:
    """Return the milliseconds of a request that is answered."""
    began = time.perf_counter()
    answer = action()
    took = (time.perf_counter() - began) * 1000
    # a claim of the other system's item is refused, and costs as much
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()
    return took


def scrapes(client: httpx.Client, number: int) -> None:
    """Print how long scrapes take that find nothing kept."""
    found = []
    for _ in range(number):
        time.sleep(1.1)
        found.append(timed(lambda: client.get("/metrics")))
    text = client.get("/metrics").content
    print(f"a scrape: first {found[0]:.0f} ms, then median {statistics.median(found[1:]):.0f} ms, "
          f"worst {max(found[1:]):.0f} ms; {len(text) / 1024:.0f} KiB, "
          f"{sum(not line.startswith(b'#') for line in text.splitlines())} series")


@contextmanager
def scraping(client: httpx.Client) -> Iterator[None]:
    """Have several servers scrape each second meanwhile, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.metrics", "--scrape", f"{client.base_url}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        # it has started when it says so
        next(iter(process.stdout or ()))
        yield
    finally:
        process.terminate()
        process.wait()


def scrape(url: str) -> None:
    """Scrape each second as several servers do, until the process is ended."""
    print("begun", flush=True)
    with httpx.Client(base_url=url, timeout=60) as client:
        while True:
            # one after the other within the second, as servers do that know nothing of each other
            for _ in range(SCRAPERS):
                client.get("/metrics").raise_for_status()
                time.sleep(1 / SCRAPERS)


def asked(client: httpx.Client, seconds: float, tag: str) -> dict[str, list[float]]:
    """Return the milliseconds of flags and claims that are asked for one after the other."""
    found: dict[str, list[float]] = {"flag": [], "claim": []}
    key: dict[str, Any] = {"context": {"targetingKey": "user-1"}}
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        item = f"/v1/claims/{tag}-{number}"
        found["flag"].append(timed(lambda: client.post(
            "/ofrep/v1/evaluate/flags/new_parser", json=key)))
        claim = {"system": "baseline", "holder": "benchmark"}
        found["claim"].append(timed(
            lambda item=item, claim=claim: client.post(item, json=claim)))
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--scrape", metavar="URL", help="used by itself")
    given = parser.parse_args()
    if given.scrape:
        scrape(given.scrape)
    alone: dict[str, list[float]] = {"flag": [], "claim": []}
    beside: dict[str, list[float]] = {"flag": [], "claim": []}
    with console() as client:
        scrapes(client, 10)
        for turn in range(given.rounds):
            for name, values in asked(client, given.seconds, f"a{turn}").items():
                alone[name] += values
            with scraping(client):
                for name, values in asked(client, given.seconds, f"b{turn}").items():
                    beside[name] += values
    for name in alone:
        for words, values in (("alone", alone[name]), ("scraped", beside[name])):
            p50, p99 = np.percentile(values, [50, 99])
            print(f"{name} {words}: median {p50:.2f} ms, p99 {p99:.2f} ms, "
                  f"worst {max(values):.1f} ms of {len(values)}")


if __name__ == "__main__":
    main()
