"""The gate of a stage that moves a route is about this route: its split, and its requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from changeover import clock
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.domain.audit import Author
from changeover.domain.rollout import StageAction
from changeover.domain.routing import Change, Mode
from changeover.domain.slices import LogPlace
from changeover.domain.stages import change_for
from changeover.domain.verdict import Verdict
from changeover.procedures import routes_back
from changeover.procedures.gate import judge_stage
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.recompute import recompute
from changeover.procedures.steps import CutoverRun
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing, slices, verdicts
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.clocks import live_at
from tests.support.processes import LONGEST_PAUSE
from tests.support.soaking_stage import stored

NOW = clock.now().replace(microsecond=0)
ENTERED = NOW - timedelta(hours=1)
SEEN = Seen(has_share=True, regressions=None)
STAGE, GATE, ORDERS = "gradual-orders-50", "slo.orders", "route:orders"
PARTS = {
    "routes": [{"name": "orders", "path": {"prefix": "/orders"}}],
    "gates": {"slo": [{"metric": "error_rate", "ratio_to_baseline": 2, "min_samples": 100}]},
    "phases": [{"phase": "gradual", "gates": ["slo"], "stages": [
        {"percent": 10, "soak": "1h"}, {"routes": ["orders"], "percent": 50, "soak": "1h"}]}],
}


@pytest.fixture
def run(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CutoverRun]:
    """A cutover with everything else at 10 %, whose stage of the route began an hour ago."""
    live_at(monkeypatch, NOW + timedelta(seconds=1))
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    plan = make_plan(**PARTS)
    plans.register(store, plan, source="test", now=ENTERED)
    site, author = Site(Home(tmp_path), plan, store), Author("test", "test")
    cutover = cutovers.begin(store, plan.migration, flow_run_id="one", now=ENTERED)
    for stage in plan.stages():
        routing.change(store, "bench", change_for(stage, plan, 0), author, now=ENTERED)
        cutovers.enter_stage(store, cutover.id, stage, now=ENTERED)
    yield CutoverRun(site, cutover, "one")
    store.close()


def counted(weight: int, subset: str | None, share: float, seed: int) -> Slice:
    """Return ten minutes of requests: the candidate's buckets fail so often, the others 1 %."""
    chance = np.random.default_rng(seed)
    number = chance.poisson(20, 10_000)
    bad = chance.binomial(number, np.where(np.arange(10_000) < weight, share, 0.01))
    sums = {Counter.REQUESTS: number, Counter.ERRORS: bad.astype(np.int64)}
    if subset is not None:
        sums |= {f"{subset} {name}": each for name, each in list(sums.items())}
    start = int((ENTERED + timedelta(minutes=10)).timestamp())
    return Slice(weight, start, start + 60, sums)


def measure(run: CutoverRun, *, orders: float, others: float) -> None:
    """Store how often the candidate fails requests of the route, and all others."""
    found = [counted(5000, ORDERS, orders, 1), counted(1000, None, others, 2)]
    slices.save(run.site.store, run.migration, [packed(each) for each in found],
                LogPlace(1, 1), gateway="main")


@pytest.mark.parametrize(("orders", "others", "said"), [
    (0.05, 0.01, Verdict.FAIL), (0.01, 0.05, Verdict.PASS)], ids=["it fails", "others fail"])
def test_gate_of_a_route_is_judged_by_its_own_requests(
    run: CutoverRun, orders: float, others: float, said: Verdict
) -> None:
    """Its own split and requests decide; the verdict stands under the route, and is reached again.
    """
    measure(run, orders=orders, others=others)
    decision = judge_stage(run, STAGE, SEEN)
    found = stored(run, GATE)
    assert found.verdict is said
    assert decision.back == (("orders",) if said is Verdict.FAIL else ())
    assert decision.action is StageAction.WAIT or said is Verdict.PASS
    (check,) = found.evidence
    assert check["check"]["route"] == "orders"
    assert "route orders" in check["reason"]
    known = verdicts.get(run.site.store, found.id)
    assert known is not None
    assert [each.problem for each in recompute(*known)] == [""]


def test_what_goes_back_is_decided_once_for_each_evaluation(run: CutoverRun) -> None:
    """After a kill the same is found; what fails by requests from before asks people."""
    measure(run, orders=0.05, others=0.01)
    first = judge_stage(run, STAGE, SEEN)
    change = Change(takes_back="route:orders")
    routing.change(run.site.store, "bench", change, Author("test", "test"), now=NOW)
    assert judge_stage(run, STAGE, SEEN) == first
    record = cutovers.stage(run.site.store, run.id, STAGE)
    assert record is not None
    later = replace(record, rechecks=record.rechecks + 1)
    asked = routes_back.decide(run, later, ("orders",), first.reason)
    assert (asked.action, asked.back) == (StageAction.ASK, ())
    assert asked.reason.endswith("at the baseline already: route orders")


def test_route_that_went_back_is_in_no_comparison(run: CutoverRun) -> None:
    """What was counted before says nothing of a stage without its users."""
    measure(run, orders=0.01, others=0.01)
    routing.change(run.site.store, "bench", Change(mode=Mode.GRADUAL, kept_routes=("orders",)),
                   Author("test", "test"), now=NOW)
    judge_stage(run, STAGE, SEEN)
    assert stored(run, GATE).verdict is Verdict.INCONCLUSIVE
