"""A backtest over half a year of samples: how long it takes, and what it finds.

    python -m benchmarks.backtest                  # 180 days, about two minutes to build them
    python -m benchmarks.backtest --days 14
    python -m benchmarks.backtest --keep FOLDER    # build once, measure again and again

Built through the product's own functions: a sample of each minute of the baseline (100 requests a
second; histogram, users and errors as the observer writes them), the
candidate's probes, the gateway's requests, an hour's sums of 10,000 buckets, the last six hours by
seconds, and three cutovers with their verdicts. The plan that is asked has five triggers and two
gates, all of them changed. Measured is `changeover backtest` as a person calls it, start and all.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.progress import track

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.analysis.window import Sample
from changeover.domain.audit import Author
from changeover.domain.rollout import CutoverStatus, GateVerdict, StageStatus
from changeover.domain.routing import Change, Mode
from changeover.domain.slices import LogPlace
from changeover.plan.model import Plan
from changeover.procedures.checking import evidence_of, judge_now
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing, samples, slices, verdicts
from changeover.store.engine import Store

MINUTE, HOUR = 60, 3600
MIGRATION = "half-a-year"
SECONDS_KEPT = timedelta(hours=6)
KINDS = 400
"""Different minutes that are drawn; each comes again and again, at other times."""


def plan_of(times: float) -> dict[str, Any]:
    """Return a plan whose bounds are so many times the usual ones."""
    return {
        "migration": MIGRATION,
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:8101"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:8102"}},
        "gates": {
            "errors": [
                {"metric": "error_rate", "ratio_to_baseline": 2 * times, "min_samples": 1000},
                {"metric": "error_rate", "below": f"{0.5 * times:g}%", "min_samples": 1000}],
            "speed": [
                {"metric": "latency_p95", "below": f"{round(400 * times)}ms"},
                {"metric": "client_error_rate", "ratio_to_baseline": 1.5 * times}]},
        "phases": [{"phase": "gradual", "gates": ["errors", "speed"], "stages": [
            {"percent": 10, "soak": "6h"}, {"percent": 50, "soak": "12h"}]}],
        "triggers": [
            {"name": "errors", "metric": "error_rate", "above": f"{0.6 * times:g}%", "for": "2m",
             "over": "5m", "action": "rollback"},
            {"name": "peak", "metric": "server_error_rate", "above": f"{2 * times:g}%",
             "for": "10s", "action": "alert"},
            {"name": "slow", "metric": "latency_p95", "above": f"{round(450 * times)}ms",
             "for": "5m", "over": "1m", "action": "hold"},
            {"name": "p99", "metric": "latency_p99", "above": f"{round(900 * times)}ms",
             "for": "2m", "over": "1m", "action": "rollback"},
            {"name": "down", "metric": "up", "below": 1, "for": "5s", "action": "rollback"}],
    }


def minutes_of(chance: np.random.Generator, per_minute: int = 6000) -> list[Sample]:
    """Return different minutes, or seconds, of a system that answers so many requests in each."""
    found = []
    for _ in range(KINDS):
        number = int(chance.poisson(per_minute))
        took = np.exp(chance.normal(math.log(120_000), 0.58, number)).astype(int)
        bad = int(chance.binomial(number, min(1.0, 0.002 * chance.gamma(2, 0.5))))
        users = tuple(sorted(chance.integers(0, 2**32, 64).tolist()))
        found.append(Sample(
            "baseline", 0, MINUTE, requests=number, client_errors=number // 40,
            user_errors=bad, answers=number - bad, empty_answers=number // 500,
            answer_bytes=number * 5_000, answer_logs=number * 8.5,
            users={"answer": users, "client_error": users[:40], "error": users[:min(bad, 20)]},
            errors={"status_5xx": bad} if bad else {}, latency=Histogram.of(took.tolist()),
            probes=60, probes_up=60, memory_bytes=10**9,
            cpu_cores=1.5, watched=60, listened=60))
    return found


def rows(kinds: list[Sample], first: int, last: int, resolution: int) -> Iterator[Sample]:
    """Yield the samples of both systems and the gateway between two seconds."""
    chance = np.random.default_rng(first)
    for at in range(first, last, resolution):
        one = kinds[int(chance.integers(len(kinds)))]
        yield replace(one, at=at, resolution=resolution, watched=resolution)
        yield Sample("candidate", at, resolution, probes=resolution, probes_up=resolution,
                     memory_bytes=10**9, cpu_cores=0.1, watched=resolution)
        yield Sample("gateway", at, resolution, requests=one.requests + 3,
                     errors={"http1.codec_error": 3})


def hour_of(chance: np.random.Generator, weight: int, start: int) -> Slice:
    """Return an hour's sums of all buckets."""
    number = chance.poisson(36, 10_000)
    sums = {name: chance.binomial(number, share).astype(np.int64) for name, share in (
        (Counter.ERRORS, 0.002), (Counter.SERVER_ERRORS, 0.002), (Counter.CLIENT_ERRORS, 0.025))}
    return Slice(weight, start, start + HOUR, {
        Counter.REQUESTS: number, Counter.ANSWERS: number, **sums}, {"no key": 100})


@contextmanager
def at_time(moment: datetime) -> Iterator[None]:
    """Have it be another time, for what is written."""
    real = clock.now
    clock.now = lambda: moment
    try:
        yield
    finally:
        clock.now = real


def cut_over(site: Site, start: datetime) -> datetime:
    """Store a cutover of two stages with their verdicts; return its end."""
    store, now, author = site.store, start, Author("benchmark", "benchmark")
    cutover = cutovers.begin(store, MIGRATION, flow_run_id=f"{start}", now=start)
    chance = np.random.default_rng(int(start.timestamp()))
    for stage in site.plan.stages():
        routing.change(store, MIGRATION, Change(mode=Mode.GRADUAL, weight=stage.weight), author,
                       now=now)
        record = cutovers.enter_stage(store, cutover.id, stage, now=now)
        first, end = int(now.timestamp()), now + stage.soak
        found = [packed(hour_of(chance, stage.weight, first + HOUR * number + 400))
                 for number in range(int(stage.soak.total_seconds()) // HOUR)]
        slices.save(store, MIGRATION, found, LogPlace(1, first), gateway="main")
        with at_time(end):
            for gate in stage.gates:
                result = judge_now(site, record, gate)
                verdicts.save(store, GateVerdict(
                    cutover.id, stage.key, gate, 1, 0, result.verdict, result.reason, end,
                    evidence_of(site.plan, gate, result)), result.sums)
        cutovers.decide(store, cutover.id, stage.key, status=StageStatus.PROMOTED,
                        reason="the gate passed", now=end)
        now = end
    routing.change(store, MIGRATION, Change(mode=Mode.BASELINE_ONLY), author, now=now)
    cutovers.finish(store, cutover.id, CutoverStatus.STOPPED, outcome="benchmark", now=now)
    return now


def build(folder: Path, days: int) -> None:
    """Fill a store with so many days."""
    home = Home(folder)
    home.create()
    store = Store.open(home.store_url, create=True)
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    since = until - timedelta(days=days)
    plan = Plan.model_validate(plan_of(1))
    plans.register(store, plan, source="benchmark", now=since)
    home.save_settings({"api_url": "", "migration": MIGRATION})
    kinds = minutes_of(np.random.default_rng(1))
    first, last = int(since.timestamp()), int(until.timestamp())
    for start in track(range(first, last, 6 * HOUR), "minutes and sums by bucket"):
        end = min(start + 6 * HOUR, last)
        samples.write(store, MIGRATION, list(rows(kinds, start, end, MINUTE)))
        chance = np.random.default_rng(start)
        slices.save(store, MIGRATION, [packed(hour_of(chance, 0, at))
                                       for at in range(start, end, HOUR)],
                    LogPlace(1, start), gateway="main")
    seconds = minutes_of(np.random.default_rng(2), per_minute=100)
    kept = int((until - SECONDS_KEPT).timestamp())
    for start in track(range(kept, last, 600), "the last seconds"):
        samples.write(store, MIGRATION, list(rows(seconds, start, start + 600, 1)))
    site = Site(home, plan, store)
    for number in range(3):
        cut_over(site, since + (until - since) * (number + 0.5) / 3)
    store.close()


def measure(folder: Path, days: int) -> float:
    """Return the seconds of `changeover backtest` over so many days; prints what it finds."""
    asked = folder / "asked.yaml"
    asked.write_text(yaml.safe_dump(plan_of(0.9)))
    command = [sys.executable, "-m", "changeover.cli", "backtest", "--plan", str(asked),
               "--since", f"{days}d", "--home", str(folder)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    print(done.stdout[-6000:], done.stderr[-2000:])
    return took


def main() -> None:
    """Build the samples, then measure three times."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--days", type=int, default=180)
    options.add_argument("--keep", type=Path, help="Folder that is kept, and used if it is there.")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = asked.keep or Path(name)
        if not (folder / "store.db").exists():
            build(folder, asked.days)
        size = sum(file.stat().st_size for file in folder.rglob("*.db*")) / 1e6
        took = [measure(folder, asked.days) for _ in range(3)]
    print(f"{asked.days} days, {size:.0f} MB in the store: "
          f"{', '.join(f'{each:.1f}' for each in took)} s")


if __name__ == "__main__":
    main()
