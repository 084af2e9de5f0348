"""A store with some of everything that the pages show, also what is meant to do harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from changeover import clock
from changeover.domain.comparisons import Compared, Example
from changeover.domain.rollout import CutoverStatus, GateVerdict, Standing
from changeover.domain.verdict import Verdict
from changeover.plan.model import Plan
from changeover.store import (
    comparisons,
    cutovers,
    heartbeats,
    plans,
    shared_files,
    standings,
    verdicts,
)
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.integration.console import view_story

HOSTILE = "<img src=x onerror=alert(1)>"
SHOWN = {
    "$.total": ("changed", "12.5", "12.51"), "$.items": ("order", "[1, 2]", "[2, 1]"),
    f"$['{HOSTILE}']": ("changed", f'"{HOSTILE}{"long " * 60}"', None),
    "$.name": ("changed", '"Ann"', '"ann"'), "status": ("changed", "200", "500")}
"""Kind and both values by place."""


def plan_with_everything() -> Plan:
    """Return a plan with a shadow, gates of several kinds, and a rule."""
    return make_plan(
        shadow={"sample": "50%"}, reports={"target": "s3://x"},
        routes=[{"name": "orders", "path": {"prefix": "/orders"}},
                {"name": "login", "path": {"prefix": "/login"}, "move": "never"}],
        comparison={"rules": [{"path": "$.eta", "within": "2s", "owner": "ana",
                               "reason": "clocks differ", "expires": "2099-01-31"}]},
        gates={"slo": [
            {"metric": "error_rate", "below": "0.5%"},
            {"metric": "error_rate", "ratio_to_baseline": 1.1},
            {"metric": "latency_p95", "ratio_to_baseline": 1.1},
            {"metric": "match_rate", "at_least": "99%"}]},
        phases=[{"phase": "gradual", "stages": [
            {"percent": 50, "soak": "1h", "gates": ["slo"]}]}],
        **view_story.PARTS)


def compare(store: Store, migration: str, number: int = 200) -> None:
    """Store comparisons of which some differ, one place as noise."""
    now = clock.now()
    batch = []
    for index in range(number):
        found: dict[str, Example] = {}
        for place, (kind, baseline, candidate) in SHOWN.items():
            if index % (3 + len(found)) == 0:
                found[place] = Example(f"GET /orders/{index}", place, kind, baseline, candidate)
        batch.append(Compared(
            now - timedelta(seconds=number - index), f"GET /orders/{index}", f"id-{index}",
            0.9 if found else 1.0, not found, 0.01, 0.02, found=found,
            noisy=frozenset({"$.name"}) if index % 3 == 0 else frozenset(),
            ignored=frozenset({"$.eta"})))
    coverage = {"seen": number + 30, "dropped: host busy": 20, "dropped: queue full": 10}
    comparisons.write(store, migration, batch, coverage)


def register_others(store: Store) -> None:
    """Store two more migrations, one of them with a cutover, whose observer is silent."""
    now = clock.now()
    for name in ("invoices", "payments"):
        plan = make_plan().model_copy(update={"migration": name})
        plans.register(store, plan, source="test", now=now)
    heartbeats.beat(
        store, "invoices/observer", pid=1, now=now - timedelta(minutes=5))
    begun = cutovers.begin(store, "invoices", flow_run_id=str(uuid4()), now=now)
    cutovers.enter_stage(store, begun.id, plan.stages()[0], now=now)
    cutovers.finish(
        store, begun.id, status=CutoverStatus.STOPPED, outcome=HOSTILE, now=now)



def evidence(step: int) -> list[dict[str, Any]]:
    """Return what the four checks of the plan found, more of it the later it is."""
    usual = {"of": "candidate", "min_samples": 100, "samples": 40 * step, "reason": "so it is",
             "verdict": "inconclusive", "baseline_value": None, "baseline_samples": None}
    compared = {**usual, "baseline_value": 0.002, "baseline_samples": 40 * step}
    weighed = {"log_worse": 0.05 * step - 1, "log_bar": 4.6, "log_pass": 3.0,
               "stage": {"log_better": 0.04 * step - 2}}
    ratio = {"of": "ratio", "value": 0.9 + 0.3 / step, "low": 0.9 - 1 / step,
             "high": 0.9 + 2 / step}
    return [
        {**usual, "metric": "error_rate", "bound": "below 0.500 %", "value": 0.001 + 0.01 / step,
         "verdict": "pass", "interval": {"of": "value", "low": 0, "high": 0.004}},
        {**compared, "metric": "error_rate", "bound": "at most 1.1 × baseline", "value": 0.0021,
         "sequential": weighed, "interval": ratio, "reason": f"no harm is shown {HOSTILE}",
         "outlook": {"text": "about 40 minutes more at this traffic", "seconds": 2400.0}},
        {**compared, "metric": "latency_p95", "bound": "at most 1.1 × baseline", "value": 0.25,
         "baseline_value": 0.2, "interval": ratio,
         "sequential": {**weighed, "log_worse": 0.1 * step},
         "verdict": "fail" if step > 46 else "inconclusive"},
        {**usual, "metric": "match_rate", "bound": "at least 99.000 %", "value": 0.995,
         "verdict": "pass"}]


def judge(store: Store, plan: Plan) -> None:
    """Store a stage that soaks, how its gate stood for ten minutes, and two verdicts."""
    now = clock.now()
    begun = cutovers.begin(store, plan.migration, flow_run_id=str(uuid4()), now=now)
    stage = plan.stages()[0]
    cutovers.enter_stage(store, begun.id, stage, now=now - timedelta(minutes=10))
    for step in range(1, 61):
        at = now - timedelta(seconds=10 * (60 - step))
        standings.save(store, Standing(
            begun.id, stage.key, "slo", at, Verdict.INCONCLUSIVE, "not yet", evidence(step)),
            apart=timedelta(seconds=5))
    for attempt in (1, 2):
        verdicts.save(store, GateVerdict(
            begun.id, stage.key, "slo", 1, attempt, Verdict.INCONCLUSIVE, f"not yet {HOSTILE}",
            now, evidence(60)))


def share(store: Store, migration: str) -> None:
    """Render reports; one was not copied, and somebody says why."""
    names = (f"{migration}-cutover-1.html", f"{migration}-cutover-1.json", "rollback/x/rollback.sh")
    shared_files.save(store, migration, dict.fromkeys(names, b"<p>"), now=clock.now())
    for file in shared_files.unsent(store, migration, "s3://x", most=9):
        shared_files.note_sent(store, file, "", problem=HOSTILE)


def fill(store: Store, plan: Plan) -> None:
    """Store something for every page."""
    compare(store, plan.migration)
    register_others(store)
    judge(store, plan)
    view_story.fill(store, plan, HOSTILE)
    share(store, plan.migration)
