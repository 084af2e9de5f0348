"""A stage gets its users again after a rollback of a part: once, whatever is killed or fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import StageRecord
from changeover.domain.routing import Change, RoutingState
from changeover.domain.slices import LogPlace
from changeover.domain.stages import change_for
from changeover.errors import PublishFailed
from changeover.gateway.publish import Gateway
from changeover.observer.standings import Standings
from changeover.plan.model import Plan
from changeover.procedures import counting, share_again, stages
from changeover.procedures.partial_rollback import take_part_back
from changeover.procedures.steps import CutoverRun
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing, slices, standings
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.clocks import live_at
from tests.support.processes import LONGEST_PAUSE
from tests.support.soaking_stage import STAGE, soaking, traffic

NOW = clock.now().replace(microsecond=0)
ENTERED = NOW - timedelta(hours=1)
ROUTE = "route:orders"
PARTS: dict[str, Any] = {
    "routes": [{"name": "orders", "path": {"prefix": "/orders"}},
               {"name": "search", "path": {"prefix": "/search"}}],
    "phases": [{"phase": "gradual", "stages": [
        {"routes": ["orders", "search"], "percent": 50, "soak": "5m"}]}],
}


@pytest.fixture
def run(store_url: str, tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover with half of two routes at the candidate, of which orders have gone back."""
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    plan = make_plan(**PARTS)
    plans.register(store, plan, source="test", now=ENTERED)
    site, author = Site(Home(tmp_path), plan, store), Author("test", "test")
    cutover = cutovers.begin(store, plan.migration, flow_run_id="one", now=ENTERED)
    (stage,) = plan.stages()
    routing.change(store, "bench", change_for(stage, plan, 0), author, now=ENTERED)
    cutovers.enter_stage(store, cutover.id, stage, now=ENTERED)
    routing.change(store, "bench", Change(takes_back=ROUTE), author, now=ENTERED)
    yield CutoverRun(site, cutover)
    store.close()


@pytest.fixture
def confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway confirms everything."""
    def publish(_: Gateway, plan: Plan, state: RoutingState, **__: object) -> Publication:
        return Publication(plan.migration, state.epoch, state.version, clock.now(), True, 0.0)

    monkeypatch.setattr(Gateway, "publish", publish)


@pytest.fixture
def lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway confirms nothing."""
    def publish(*_: object, **__: object) -> None:
        raise PublishFailed("a node lags")

    monkeypatch.setattr(Gateway, "publish", publish)


def key(run: CutoverRun) -> str:
    """Return the only stage's name."""
    return run.site.plan.stages()[0].key


def record_of(run: CutoverRun) -> StageRecord:
    """Return the only stage as it stands."""
    (found,) = cutovers.stages(run.site.store, run.id)
    return found


def kept(run: CutoverRun) -> tuple[str, ...]:
    """Return the routes that stay at the baseline."""
    return routing.read(run.site.store, "bench").kept_routes


def note_and_hold(run: CutoverRun) -> None:
    """Do what comes before the users."""
    share_again.note_due(run, key(run), 1)
    stages.hold(run, key(run), 1)


@pytest.mark.parametrize("is_held", [False, True], ids=["before the round", "after it began"])
@pytest.mark.usefixtures("confirms")
def test_users_that_are_due_come_before_anything_is_judged(
    run: CutoverRun, is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before they were moved: they come first, and soak for as long as all others."""
    share_again.note_due(run, key(run), 1)
    if is_held:
        stages.hold(run, key(run), 1)
    later = clock.now() + timedelta(hours=2)
    live_at(monkeypatch, later)
    share_again.finish(run, key(run))
    assert (kept(run), record_of(run).round) == ((), 2)
    assert record_of(run).soak_until >= later + timedelta(minutes=5)
    assert counting.as_counted(run.site, record_of(run)).entered_at >= later
    # once: a part that goes back later stays back
    take_part_back(run.site, ROUTE, Cause("ann", "slow"), "by hand")
    share_again.finish(run, key(run))
    assert kept(run) == ("orders",)


@pytest.mark.usefixtures("lags")
def test_a_part_that_went_back_before_the_gateway_confirmed_stays_back(run: CutoverRun) -> None:
    """The observer took it back while the flow waited; nobody has asked for it since."""
    note_and_hold(run)
    with pytest.raises(PublishFailed):
        share_again.give(run, key(run), 1)
    assert kept(run) == ()
    take_part_back(run.site, ROUTE, Cause("observer", "it fails"), "a trigger")
    assert "users went back meanwhile" in share_again.give(run, key(run), 1)
    assert kept(run) == ("orders",)


@pytest.mark.usefixtures("confirms")
def test_another_part_that_goes_back_before_the_users_come_stays_back(run: CutoverRun) -> None:
    """People decided before it went back."""
    note_and_hold(run)
    take_part_back(run.site, "route:search", Cause("observer", "it fails"), "a trigger")
    share_again.give(run, key(run), 1)
    assert sorted(kept(run)) == ["orders", "search"]


@pytest.mark.usefixtures("confirms")
def test_maintenance_in_between_keeps_no_user_away(run: CutoverRun) -> None:
    """It moves nobody."""
    note_and_hold(run)
    for is_on in (True, False):
        routing.change(run.site.store, "bench", Change(maintenance=is_on, maintenance_reason="x"),
                       Author("ann", "x"), now=clock.now())
    share_again.give(run, key(run), 1)
    assert kept(run) == ()


def test_a_stage_that_people_hold_keeps_the_users_that_it_has(run: CutoverRun) -> None:
    """Nothing is due; and a run that passes an ended round once more makes nothing due."""
    stages.hold(run, key(run), 1)
    share_again.note_due(run, key(run), 1)
    share_again.finish(run, key(run))
    assert "keeps the users" in share_again.give(run, key(run), 1)
    assert kept(run) == ("orders",)


def test_the_observer_judges_nothing_of_before_while_users_come_again(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From when it is due until the gateway confirmed it, and afterwards by what came since."""
    live_at(monkeypatch, NOW + timedelta(seconds=1))
    gates = {"slo": [{"metric": "error_rate", "ratio_to_baseline": 2, "min_samples": 100}]}
    with soaking(store_url, tmp_path, gates, entered=ENTERED) as run:
        bad = traffic(5000, ENTERED.timestamp() + 600, (0.05, 0.01), 2)
        slices.save(run.site.store, "bench", [packed(bad)], LogPlace(1, 1), gateway="main")
        assert [each.trigger for each in Standings(run.site).evaluate()] == ["gate slo"]
        observer = Standings(run.site)
        share_again.note_due(run, STAGE, 1)
        stages.hold(run, STAGE, 1)
        assert counting.as_watched(run.site, record_of(run)) is None
        assert observer.evaluate() == []
        # a gateway that never confirms keeps no harm from being seen, by what came since
        live_at(monkeypatch, NOW + timedelta(minutes=3))
        late = counting.as_watched(run.site, record_of(run))
        assert late is not None and late.entered_at >= NOW
        assert observer.evaluate() == []


def test_a_gate_that_failed_while_its_users_came_again_rolls_nobody_back(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was judged is of before; it is not taken for a failure of the next round either."""
    live_at(monkeypatch, NOW + timedelta(seconds=1))
    gates = {"slo": [{"metric": "error_rate", "ratio_to_baseline": 2, "min_samples": 100}]}
    with soaking(store_url, tmp_path, gates, entered=ENTERED) as run:
        bad = traffic(5000, ENTERED.timestamp() + 600, (0.05, 0.01), 2)
        slices.save(run.site.store, "bench", [packed(bad)], LogPlace(1, 1), gateway="main")
        real = standings.save

        def comes_again(*args: Any, **keys: Any) -> None:
            share_again.note_due(run, STAGE, 1)
            stages.hold(run, STAGE, 1)
            real(*args, **keys)

        monkeypatch.setattr(standings, "save", comes_again)
        assert Standings(run.site).evaluate() == []
