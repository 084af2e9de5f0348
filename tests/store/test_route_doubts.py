"""A route whose gate fails goes back alone only where the candidate is well elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.analysis.window import Measurements, Sample
from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.procedures import again_step
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import StageAction
from changeover.domain.routing import Change, Mode
from changeover.domain.stages import change_for
from changeover.errors import PublishFailed
from changeover.gateway.publish import Gateway
from changeover.procedures import routes_back
from changeover.procedures.backtest.run import Asked, backtest
from changeover.procedures.gate import judge_stage
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.partial_rollback import take_part_back
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, instructions, plans, routing, samples
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.clocks import live_at
from tests.support.processes import LONGEST_PAUSE

NOW = clock.now().replace(microsecond=0)
ENTERED = NOW - timedelta(minutes=10)
SEEN = Seen(has_share=True, regressions=None)
REST, ORDERS, SEARCH = "without:route", "route:orders", "route:search"
PARTS: dict[str, Any] = {
    "routes": [{"name": "orders", "path": {"prefix": "/orders"}},
               {"name": "search", "path": {"prefix": "/search"}}],
    "gates": {"slo": [{"metric": "error_rate", "below": "2%", "min_samples": 50}]},
    "phases": [{"phase": "gradual", "gates": ["slo"], "stages": [
        {"routes": ["search"], "percent": 100, "soak": "5m"},
        {"routes": ["orders"], "percent": 50, "soak": "5m"}]}],
}


@pytest.fixture
def run(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CutoverRun]:
    """A cutover with all of search at the candidate, and half of the orders for ten minutes."""
    live_at(monkeypatch, NOW + timedelta(seconds=3))
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


def measure(run: CutoverRun, **bad: int) -> None:
    """Store a minute of the candidate: of 100 requests of each part so many failed."""
    subsets = {name: Measurements(requests=100, errors={"5xx": number}) if number
               else Measurements(requests=100)
               for name, number in ((ORDERS, bad["orders"]), (SEARCH, bad["search"]),
                                    (REST, bad["rest"]))}
    samples.write(run.site.store, "bench", [Sample(
        "candidate", int(NOW.timestamp()) - 60, requests=300,
        errors={"5xx": sum(bad.values())} if sum(bad.values()) else {}, probes=1, probes_up=1,
        subsets=subsets)])


def test_a_route_that_fails_alone_goes_back_alone(run: CutoverRun) -> None:
    """Search and everything else are well."""
    measure(run, orders=30, search=0, rest=0)
    decision = judge_stage(run, run.site.plan.stages()[1].key, SEEN)
    assert (decision.action, decision.back) == (StageAction.WAIT, ("orders",))


@pytest.mark.parametrize(("rest", "words", "told"), [
    (0, "rollback of route orders", "nothing would have rolled it back"),
    (30, "rollback", "it would be rolled back on"),
], ids=["alone", "everyone"])
def test_backtest_says_what_would_go_back(
    run: CutoverRun, rest: int, words: str, told: str
) -> None:
    """As in the cutover: a route that fails alone does not end it."""
    measure(run, orders=30, search=0, rest=rest)
    judge_stage(run, run.site.plan.stages()[1].key, SEEN)
    strict = run.site.plan.model_copy(update={"triggers": []})
    found = backtest(run.site, Asked(strict, ENTERED, clock.now()), lambda *_: None)
    (each,) = found.evaluations
    assert (each.then_words, each.now_words, each.is_other) == (words, words, False)
    assert told in found.cutovers[0]


@pytest.mark.parametrize(("search", "rest", "said"), [
    (30, 0, "not route orders alone: route search fails the same bound"),
    (0, 30, "not route orders alone: everything without a route fails the same bound"),
], ids=["an earlier stage's route", "everything else"])
def test_a_candidate_that_is_ill_elsewhere_loses_everyone(
    run: CutoverRun, search: int, rest: int, said: str
) -> None:
    """Nothing else in this stage judges what an earlier one moved."""
    measure(run, orders=30, search=search, rest=rest)
    decision = judge_stage(run, run.site.plan.stages()[1].key, SEEN)
    assert (decision.action, decision.back) == (StageAction.ROLLBACK, ())
    assert decision.reason.endswith(said)


def lags(*_: object, **__: object) -> None:
    """Publish in vain."""
    raise PublishFailed("a node lags")


def test_a_gateway_that_lags_keeps_no_route_at_the_candidate(
    run: CutoverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both go back in the store, whatever a gateway says; the observer publishes it again."""
    monkeypatch.setattr(Gateway, "publish", lags)
    stage = run.site.plan.stages()[1].key
    routes_back.take_back(
        run, StageDecision(stage, StageAction.WAIT, "both fail", ("orders", "search")))
    state = routing.read(run.site.store, "bench")
    assert state.mode is Mode.GRADUAL
    assert sorted(state.kept_routes) == ["orders", "search"]


def test_a_move_that_was_killed_is_finished_before_anything_else(
    run: CutoverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known what was to go back, and why, until all of it was done; then it is not again."""
    monkeypatch.setattr(Gateway, "publish", lags)
    stage = run.site.plan.stages()[1].key
    record = cutovers.stage(run.site.store, run.id, stage)
    assert record is not None and routes_back.unfinished(run, stage) is None
    decided = routes_back.decide(run, record, ("orders",), "too many errors")
    assert routes_back.unfinished(run, stage) == decided
    change = Change(takes_back="route:orders")
    routing.change(run.site.store, "bench", change, Author("test", "test"), now=NOW)
    # killed after the move and before the soak began anew
    assert routes_back.unfinished(run, stage) == decided
    said = routes_back.take_back(run, decided)
    assert "route:orders is back" in said and "has not confirmed it yet" in said
    assert routes_back.unfinished(run, stage) is None
    after = cutovers.stage(run.site.store, run.id, stage)
    assert after is not None and after.rechecks == record.rechecks + 1


def test_a_part_that_goes_back_in_between_leaves_no_decided_route_at_the_candidate(
    run: CutoverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the decision; then people took search back, and the stage soaked anew."""
    monkeypatch.setattr(Gateway, "publish", lags)
    stage, site = run.site.plan.stages()[1].key, run.site
    record = cutovers.stage(site.store, run.id, stage)
    assert record is not None
    routes_back.decide(run, record, ("orders", "search"), "both fail")
    take_part_back(site, SEARCH, Cause("ann", "it is slow"), "by hand")
    left = routes_back.unfinished(run, stage)
    assert left is not None and left.back == ("orders",)
    routes_back.take_back(run, left)
    assert sorted(routing.read(site.store, "bench").kept_routes) == ["orders", "search"]
    assert routes_back.unfinished(run, stage) is None


def test_a_route_that_people_give_again_is_not_taken_back_for_what_was_decided_before(
    run: CutoverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else took it back before the killed run could; that ends the decision too."""
    monkeypatch.setattr(Gateway, "publish", lags)
    stage, site = run.site.plan.stages()[1].key, run.site
    record = cutovers.stage(site.store, run.id, stage)
    assert record is not None
    routes_back.decide(run, record, ("orders",), "too many errors")
    take_part_back(site, ORDERS, Cause("ann", "it is slow"), "by hand")
    left = routes_back.unfinished(run, stage)
    assert left is not None and left.back == ()
    routes_back.take_back(run, left)
    again = cutovers.stage(site.store, run.id, stage)
    assert again is not None and again.rechecks == record.rechecks + 1
    routing.change(site.store, "bench", change_for(site.plan.stages()[1], site.plan, 0),
                   Author("ann", "mended"), now=NOW)
    assert routes_back.unfinished(run, stage) is None


def test_a_route_that_got_its_share_again_is_judged_by_what_came_since(run: CutoverRun) -> None:
    """What failed before was of the candidate as it was."""
    stage = run.site.plan.stages()[1].key
    measure(run, orders=30, search=0, rest=0)
    record = cutovers.stage(run.site.store, run.id, stage)
    assert record is not None
    cutovers.next_round(run.site.store, record, until=NOW, now=NOW)
    assert judge_stage(run, stage, SEEN).back == ("orders",)
    again = cutovers.next_round(run.site.store, replace(record, round=2), until=NOW, now=NOW)
    run.once(again_step(stage, again.round - 1), lambda: ("again", {}))
    assert judge_stage(run, stage, SEEN).action is not StageAction.ROLLBACK
    assert judge_stage(run, stage, SEEN).back == ()


def test_people_who_ended_a_soak_early_are_asked_about_what_went_back_since(
    run: CutoverRun
) -> None:
    """Their order was about all the users."""
    stage = run.site.plan.stages()[1]
    instructions.promote_now(run.site.store, Instruction(
        run.id, InstructionKind.PROMOTE_NOW, "ann", "it is time", clock.now(), stage.key, 1), stage)
    decision = judge_stage(run, stage.key, Seen(has_share=False, regressions=None))
    assert decision.action is StageAction.ASK
