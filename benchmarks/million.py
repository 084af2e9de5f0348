"""A million stored comparisons: size on disk, the gate's query, the report's section.

    python -m benchmarks.million
    python -m benchmarks.million --comparisons 100000

Written through the product's own functions over 48 hours of made-up time, in batches of 1,000; 5 %
of the comparisons differ at one of ten places, a tenth has a second baseline answer. SQLite.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.progress import track

from changeover.domain.comparisons import Compared, Example
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.store import comparisons, minutes, place_counts, plans, samples
from changeover.store.engine import Store
from reports.evidence import collect
from reports.render import render_html

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
SPAN = timedelta(hours=48)
BATCH = 1000
PLAN = Plan.model_validate({
    "migration": "million", "shadow": {"sample": 10},
    "systems": {"baseline": {"name": "a", "url": "http://127.0.0.1:1"},
                "candidate": {"name": "b", "url": "http://127.0.0.1:2"}},
    "gates": {"place": [
        {"metric": "divergence_rate", "path": "$.items[*].field1", "at_most": 0}]},
    "phases": [{"phase": "gradual", "gates": ["place"], "stages": [{"percent": 50, "soak": 0}]}],
})


def compared(number: int, total: int, chance: random.Random) -> Compared:
    """Return one comparison at its share of the span."""
    place = f"$.items[*].field{chance.randrange(10)}"
    differs = chance.random() < 0.05
    example = Example(f"GET /orders/{number}", place, "changed", '"old"', '"new"')
    return Compared(
        at=BEGIN + SPAN * number / total, request=f"GET /orders/{number}",
        request_id=f"{number:032x}", similarity=0.95 if differs else 1.0, is_match=not differs,
        baseline_seconds=chance.random() / 50, candidate_seconds=chance.random() / 50,
        found={place: example} if differs else {},
        noisy=frozenset() if chance.random() < 0.1 else None,
    )


def milliseconds(work: Callable[[], Any], repeats: int = 9) -> float:
    """Return the median milliseconds of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    """Fill a store, then measure."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--comparisons", type=int, default=1_000_000)
    total = options.parse_args().comparisons
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        path = Path(name) / "store.db"
        store = Store.open(f"sqlite:///{path}", create=True)
        plans.register(store, PLAN, source="benchmark", now=BEGIN)
        began = time.monotonic()
        for first in track(range(0, total, BATCH), "storing"):
            batch = [compared(n, total, chance) for n in range(first, min(first + BATCH, total))]
            comparisons.write(store, "million", batch, {"seen": len(batch)})
            if first % (20 * BATCH) == 0:  # as the observer does every minute
                minutes.rollup(store, "million", now=batch[-1].at)
        minutes.rollup(store, "million", now=BEGIN + SPAN)
        seconds = time.monotonic() - began
        end = BEGIN + SPAN
        gate = milliseconds(lambda: samples.window(
            store, "million", "candidate", start=BEGIN, end=end))
        place = milliseconds(lambda: place_counts.count(
            store, "million", "$.items[*].field1", start=BEGIN, end=end))
        differs = milliseconds(lambda: scores.collect(store, "million"), 3)
        report = milliseconds(
            lambda: render_html(collect(store, PLAN, None, now=end)), 1)
        size = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6
        store.close()
    print(f"{total} comparisons stored in {seconds:.0f} s ({total / seconds:.0f} a second), "
          f"{size:.0f} MB on disk, {size * 1e6 / total:.0f} bytes each")
    print(f"gate over 48 h: {gate:.1f} ms; of one place: {place:.1f} ms")
    print(f"what differs: {differs:.0f} ms; whole report: {report / 1000:.2f} s")


if __name__ == "__main__":
    main()
