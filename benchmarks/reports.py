"""A cutover of 90 days and 100 million requests: how long each report takes, and its size.

    python -m benchmarks.reports
    python -m benchmarks.reports --days 7

The store is written through the product's own functions: minutes of both systems with histograms of
latency, comparisons, six stages with approvals, gates that are judged again and again. SQLite.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import SHADOW, Sample
from changeover.domain.audit import Author
from changeover.domain.comparisons import Compared, Example
from changeover.domain.health import HealthResult, Status
from changeover.domain.rollout import (
    Answer,
    Approval,
    Cutover,
    CutoverStatus,
    GateVerdict,
    StageAction,
    StageStatus,
)
from changeover.domain.routing import Change, Mode
from changeover.domain.verdict import Verdict
from changeover.plan.model import Plan, Stage
from changeover.store import (
    approvals,
    comparisons,
    cutovers,
    health_results,
    hours,
    plans,
    routing,
    samples,
    verdicts,
)
from changeover.store.engine import Store
from reports.kind import Ask
from reports.kinds import KINDS

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REQUESTS_PER_MINUTE = 772
"""Over 90 days that is 100 million."""
JUDGED_EVERY = timedelta(hours=12)
PLACES = 200
COMPARISONS = 20_000


def plan(days: float) -> Plan:
    """Return a plan of six stages, all as long."""
    soak = f"{days * 24 / 6:.0f}h"
    asked = {"approvers": 1}
    checks = [
        {"metric": "error_rate", "below": "0.5%", "min_samples": 1000},
        {"metric": "latency_p95", "ratio_to_baseline": 1.2, "test": "threshold"},
        {"metric": "up", "at_least": 0.99, "min_samples": 100},
        {"metric": "similarity", "at_least": 0.95, "min_samples": 100},
    ]
    steps = [{"percent": percent, "soak": soak} for percent in (10, 25, 50)]
    return Plan.model_validate({
        "migration": "quarter", "shadow": {"sample": 10},
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:2"}},
        "gates": {"slo": checks},
        "phases": [
            {"phase": "shadow", "soak": soak},
            {"phase": "beta", "percent": 5, "soak": soak, "gates": ["slo"], "approval": asked},
            {"phase": "gradual", "gates": ["slo"], "stages": steps},
            {"phase": "full", "soak": soak, "gates": ["slo"], "approval": asked},
        ],
        "triggers": [{"name": "errors", "metric": "error_rate", "above": "2%", "for": "5m",
                      "action": "rollback"}],
    })


@dataclass
class Quarter:
    """Writes the cutover."""

    store: Store
    days: float
    chance: random.Random = field(default_factory=lambda: random.Random(11))

    def __post_init__(self) -> None:
        self.plan = plan(self.days)
        self.end = BEGIN + timedelta(days=self.days)
        plans.register(self.store, self.plan, source="benchmark", now=BEGIN)
        self.cutover: Cutover = cutovers.begin(
            self.store, self.plan.migration, flow_run_id="run", now=BEGIN)

    def write(self) -> None:
        """Write everything."""
        at = BEGIN
        for stage in self.plan.stages():
            at = self._stage(stage, at)
        cutovers.finish(
            self.store, self.cutover.id, CutoverStatus.PROMOTED,
            outcome="all 6 stages were promoted", now=at)
        self._compare()
        self._check_health()

    def _stage(self, stage: Stage, at: datetime) -> datetime:
        """Write a stage with its traffic; return its end."""
        end, name = at + stage.soak, self.plan.migration
        mode = Mode.GRADUAL if 0 < stage.weight < 10_000 else Mode.SHADOW
        mode = Mode.CANDIDATE_ONLY if stage.weight == 10_000 else mode
        why = Author(f"cutover {self.cutover.id}", f"stage {stage.title} begins")
        routing.change(self.store, name, Change(mode=mode, weight=stage.weight), why, now=at)
        cutovers.enter_stage(self.store, self.cutover.id, stage, now=at)
        for batch in self._traffic(stage, at, end):
            samples.write(self.store, name, batch)
        attempt, moment = 0, at + JUDGED_EVERY
        while stage.gates and moment <= end:
            self._judge(stage, at, moment, attempt)
            moment, attempt = moment + JUDGED_EVERY, attempt + 1
        if stage.approvers:
            self._ask(stage, end)
        cutovers.decide(
            self.store, self.cutover.id, stage.key, status=StageStatus.PROMOTED,
            reason="all 4 checks passed", now=end)
        return end

    def _traffic(self, stage: Stage, at: datetime, end: datetime) -> Iterator[list[Sample]]:
        first, last = int(at.timestamp()) // 60, int(end.timestamp()) // 60
        share = stage.weight / 10_000
        for day in range(first, last, 1440):
            batch = []
            for minute in range(day, min(last, day + 1440)):
                ours = round(REQUESTS_PER_MINUTE * share)
                batch.append(self._minute("candidate", minute, ours))
                batch.append(self._minute("baseline", minute, REQUESTS_PER_MINUTE - ours))
                batch.append(Sample(
                    SHADOW, 60 * minute, 60, compared=8, matched=8, similarity=7.9))
            yield batch

    def _minute(self, system: str, minute: int, requests: int) -> Sample:
        failed = sum(self.chance.random() < 0.0008 for _ in range(requests // 10))
        middle = 5200 + 600 * math.sin(minute / 230)
        drawn = [int(self.chance.lognormvariate(0, 0.4) * middle) for _ in range(24)]
        per = max(1, requests // 24)
        counts = {each: count * per for each, count in Histogram.of(drawn).counts.items()}
        return Sample(
            system, 60 * minute, 60, requests=requests, errors={"status_5xx": failed},
            user_errors=failed, statuses={"200": requests - failed, "500": failed},
            answers=requests - failed, answer_bytes=requests * 900,
            latency=Histogram(counts if requests else {}), probes=60, probes_up=60,
            memory_bytes=84_000_000 + self.chance.randrange(9_000_000), cpu_cores=0.4)

    def _judge(self, stage: Stage, start: datetime, at: datetime, attempt: int) -> None:
        evidence = []
        for check in self.plan.gates["slo"]:
            value = {"error_rate": 0.0008, "latency_p95": 0.0095}.get(check.metric, 0.995)
            shown = value * self.chance.uniform(0.97, 1.03)
            verdict = Verdict.INCONCLUSIVE if attempt < 2 else Verdict.PASS
            evidence.append({
                "metric": check.metric, "of": "candidate", "bound": "below 0.500 %",
                "verdict": str(verdict), "reason": f"{check.metric} was measured",
                "value": shown, "samples": 90_000, "min_samples": check.min_samples,
                "baseline_value": value, "baseline_samples": 90_000,
                "window_start": start.isoformat(), "window_end": at.isoformat(),
                "check": check.model_dump(mode="json", exclude_none=True),
            })
        verdicts.save(self.store, GateVerdict(
            self.cutover.id, stage.key, "slo", 1, attempt, Verdict.PASS,
            "all 4 checks passed", at, evidence))

    def _ask(self, stage: Stage, at: datetime) -> None:
        asked = approvals.ask(self.store, Approval(
            self.cutover.id, stage.key, 1, 1, 0, f"Leave {stage.title}?", at))
        answer = Answer(StageAction.PROMOTE, "Ana Lima", "fine")
        approvals.answer(self.store, asked.id, answer, epoch=0, now=at)

    def _compare(self) -> None:
        step, batch = (self.end - BEGIN) / COMPARISONS, []
        for number in range(COMPARISONS):
            at = BEGIN + step * number
            place = f"$.items[*].field{self.chance.randrange(PLACES)}"
            found = Example(f"GET /orders/{number}", place, "changed", '"old"', '"new"')
            differs = self.chance.random() < 0.05
            batch.append(Compared(
                at=at, request=f"GET /orders/{number}", request_id=f"{number:032x}",
                similarity=0.95 if differs else 1.0, is_match=not differs,
                baseline_seconds=0.008, candidate_seconds=0.007,
                found={place: found} if differs else {}, noisy=frozenset()))
        for start in range(0, COMPARISONS, 1000):
            part = batch[start:start + 1000]
            comparisons.write(
                self.store, self.plan.migration, part, {"seen": len(part)})

    def _check_health(self) -> None:
        last = self.end - timedelta(days=2)
        for minute in range(2 * 1440):
            at = last + timedelta(minutes=minute)
            health_results.save(self.store, [
                HealthResult(self.plan.migration, at, name, Status.HEALTHY, "fine")
                for name in ("gateway", "candidate", "store")])


def main() -> None:
    """Fill a store, then render each report."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--days", type=float, default=90)
    options.add_argument("--keep", type=Path, help="Keep the store here, and use it again.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        path = given.keep or Path(name) / "store.db"
        is_there = path.exists()
        store = Store.open(f"sqlite:///{path}", create=True)
        if not is_there:
            began = time.monotonic()
            Quarter(store, given.days).write()
            # as the observer does it bit by bit while the cutover goes on
            while hours.rollup(store, "quarter", now=BEGIN + timedelta(days=given.days + 1)):
                pass
            size = path.stat().st_size / 1e6
            print(f"written in {time.monotonic() - began:.0f} s, {size:.0f} MB")
        measure(store, plan(given.days), BEGIN + timedelta(days=given.days))


def measure(store: Store, found: Plan, now: datetime) -> None:
    """Print how long each report takes, and how large its forms are."""
    for kind in KINDS.values():
        # nothing was rolled back, and no suite was run
        if kind.name in ("rollback", "validation"):
            continue
        began, worked = time.monotonic(), time.process_time()
        report = kind.build(store, found, Ask(now))
        page = report.html()
        took, worked = time.monotonic() - began, time.process_time() - worked
        document = report.json()
        print(f"{kind.name:10} {took:5.2f} s ({worked:.2f} s of a core), page "
              f"{len(page.encode()) / 1e6:.2f} MB, JSON {len(document.encode()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
