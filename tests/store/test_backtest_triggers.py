"""Another plan's triggers put to kept samples: what they would have fired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover import clock
from changeover.analysis.backtest.found import Backtest, Change, TriggerAgain
from changeover.analysis.backtest.may_hold import rolled
from changeover.analysis.histogram import Histogram
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.analysis.trigger import Firing
from changeover.analysis.window import Sample, outcomes_of
from changeover.domain.audit import Author
from changeover.domain.outcomes import Outcome
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.routing import Change as RoutingChange
from changeover.domain.routing import Mode
from changeover.domain.slices import LogPlace
from changeover.observer.watch import Watch
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerAction
from changeover.procedures.backtest.run import Asked, backtest
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, firings, outcomes, plans, routing, samples, slices
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE

NOW = clock.now().replace(second=0, microsecond=0)
MINUTES = 12
BEGAN = NOW - timedelta(minutes=MINUTES)
HEALTHY_SINCE = BEGAN - timedelta(hours=3)
FIRST = int(BEGAN.timestamp())
TRIGGERS: dict[str, dict[str, Any]] = {
    "errors": {"metric": "error_rate", "above": "4%", "for": "3s", "min_samples": 5},
    "at-once": {"metric": "server_error_rate", "above": "10%", "for": "0s", "over": "3s"},
    "ratio": {"metric": "error_rate", "ratio_to_baseline": 2, "for": "5s", "over": "30s",
              "test": "threshold"},
    "more": {"metric": "client_error_rate", "difference_to_baseline": "2%", "for": "2s",
             "test": "threshold"},
    "slow": {"metric": "latency_p95", "above": "180ms", "for": "2s", "min_samples": 5},
    "slower": {"metric": "latency_p95", "ratio_to_baseline": 1.2, "for": "2s",
               "test": "threshold"},
    "band": {"metric": "latency_p50", "between": ["100ms", "130ms"], "for": "4s"},
    "down": {"metric": "up", "below": 1, "for": "1s", "over": "5s"},
    "memory": {"metric": "memory", "above": "1GB", "for": "2s", "clear_for": "5s"},
    "cpu": {"metric": "cpu", "above": 1.6, "for": "2s", "over": "20s"},
    "quiet": {"metric": "request_rate", "below": 7, "for": "3s"},
    "refused": {"metric": "refused_rate", "above": "3%", "for": "2s", "of": "baseline"},
    "different": {"metric": "match_rate", "below": "90%", "for": "2s"},
    "alike": {"metric": "similarity", "below": "97%", "for": "2s"},
    "missing": {"metric": "status_rate", "status": "404", "above": "5%", "for": "2s"},
    "burning": {"metric": "error_rate", "budget": {"objective": "99%", "windows": [
        {"long": "2m", "short": "10s", "burn": 2}]}},
    "group": {"metric": "error_rate", "segment": "beta", "above": "8%", "for": "2s",
              "min_samples": 3, "over": "20s"},
}


def asked(*triggers: dict[str, Any], name: str = "one") -> Plan:
    """Return a plan with these triggers, all of which only alert."""
    named = [{"name": f"{name}-{number}", "action": "alert"} | each
             for number, each in enumerate(triggers)]
    return make_plan(
        triggers=named, shadow={"sample": 100},
        systems={system: {"name": system, "url": f"http://127.0.0.1:{port}",
                          "process": {"command": ["x"]}}
                 for system, port in (("baseline", 1), ("candidate", 2))},
        routing={"listen": "127.0.0.1:8100", "key": {"header": "x-user-id"},
                 "segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        guardrails={each: {"off": "this is about triggers"} for each in (
            "errors", "client_errors", "redirects", "empty_answers")})


def second(system: str, at: int, chance: np.random.Generator, resolution: int = 1) -> Sample:
    """Return a second, or minute, of a system that is bad from time to time."""
    is_bad = at // 47 % 3 == 0
    number = int(chance.poisson(8 * resolution))
    bad = int(chance.binomial(number, 0.12 if is_bad else 0.01))
    median = 11.9 if is_bad else 11.5
    took = np.exp(chance.normal(median, 0.3, number)).astype(int).tolist()
    beta = min(number, 4)
    return Sample(
        system, at, resolution, requests=number, client_errors=bad, user_errors=bad,
        errors={"status_5xx": bad} if bad else {}, statuses={"404": bad, "200": number - bad},
        latency=Histogram.of(took), probes=resolution,
        probes_up=resolution - (chance.random() < 0.02),
        memory_bytes=int(1e9 * (1.2 if at // 90 % 4 == 0 else 0.8)),
        cpu_cores=float(chance.uniform(1, 2)), watched=resolution,
        subsets={"segment:beta": Sample(
            system, at, requests=beta, errors={"status_5xx": min(bad, beta)})}
        if chance.random() < 0.9 else {})


@pytest.fixture
def site(store_url: str, tmp_path: Path) -> Iterator[Site]:
    """A migration that was at the baseline for hours, then with half of the users moved."""
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    plan = make_plan()
    plans.register(store, plan, source="test", now=HEALTHY_SINCE)
    yield Site(Home(tmp_path), plan, store)
    store.close()


def move(site: Site, at: datetime, weight: int) -> None:
    """Move users at a time."""
    mode = Mode.GRADUAL if weight else Mode.BASELINE_ONLY
    routing.change(site.store, site.migration, RoutingChange(mode=mode, weight=weight),
                   Author("test", "test"), now=at)


def found(site: Site, plan: Plan, since: datetime = HEALTHY_SINCE) -> Backtest:
    """Return what a backtest finds."""
    return backtest(site, Asked(plan, since, NOW), lambda *_: None)


def seconds_of(chance: np.random.Generator) -> list[Sample]:
    """Return the seconds of both systems, of the gateway and of comparisons, with gaps."""
    rows = []
    for at in range(FIRST, FIRST + 60 * MINUTES):
        if at % 211 < 4:  # nobody watched
            continue
        rows += [second(system, at, chance) for system in ("baseline", "candidate")]
        rows.append(Sample("gateway", at, requests=20, errors={"x": int(chance.integers(0, 2))}))
        same = int(chance.integers(4, 7))
        rows.append(Sample("shadow", at, compared=6, matched=same, similarity=0.9 + same / 60))
    return rows


def watched(plan: Plan, rows: list[Sample]) -> list[Firing]:
    """Return what the observer's watch fires when it gets the seconds as they come."""
    watch = Watch(plan)
    watch.restart(since=FIRST)
    seconds: dict[int, list[Sample]] = defaultdict(list)
    for row in rows:
        seconds[row.at].append(row)
    fired = []
    for at in range(FIRST, FIRST + 60 * MINUTES):
        watch.feed(seconds[at])
        fired += [firing for _, firing in watch.step(at)]
    return fired


def test_kept_seconds_fire_what_the_observer_fired(site: Site) -> None:
    """The same seconds, with the same gaps, through both: the same firings in the same words."""
    rows = seconds_of(np.random.default_rng(7))
    samples.write(site.store, site.migration, rows)
    move(site, BEGAN, 5000)
    plan = asked(*TRIGGERS.values())
    expected: dict[str, list[tuple[int, str]]] = {each.name: [] for each in plan.triggers}
    for firing in watched(plan, rows):
        expected[firing.trigger].append((firing.at, firing.reason))
    for again in found(site, plan, BEGAN).triggers:
        assert expected[again.trigger], "each trigger fires at least once"
        assert expected.pop(again.trigger) == [
            (int(each.at.timestamp()), each.reason) for each in again.now or ()]
        assert again.is_other
    assert not expected


def test_reported_outcomes_fire_what_the_observer_fired(site: Site) -> None:
    """Outcomes are summed on their own, by the second."""
    rows = []
    for number in range(60):
        failed = number // 10 % 3 == 1
        at = BEGAN + timedelta(seconds=number)
        outcomes.save(site.store, site.migration, [
            Outcome(f"{number}-{each}", "candidate", not failed, 0.1) for each in range(5)], now=at)
        rows.append(Sample(outcomes_of("candidate"), FIRST + number, outcomes=5,
                           failures=5 * failed, durations=Histogram.of([100_000] * 5)))
    samples.write(site.store, site.migration, [
        Sample("candidate", FIRST + number, listened=1) for number in range(60)])
    move(site, BEGAN, 5000)
    plan = asked({"metric": "outcome_error_rate", "above": "50%", "for": "2s"})
    expected = [firing.at for firing in watched(plan, rows)]
    (again,) = found(site, plan, BEGAN).triggers
    assert [int(each.at.timestamp()) for each in again.now or ()] == expected != []


def healthy(site: Site, bad_minutes: tuple[int, ...]) -> None:
    """Store hours of minutes at the baseline; in some of them a tenth of the requests fail."""
    rows = []
    for number in range(180):
        at = int(HEALTHY_SINCE.timestamp()) + 60 * number
        errors = {"status_5xx": 60} if number in bad_minutes else {"status_5xx": 1}
        rows.append(Sample("baseline", at, 60, requests=600, errors=errors, probes=60,
                           probes_up=60, latency=Histogram({400: 600}), memory_bytes=10**9))
    samples.write(site.store, site.migration, rows)


def only(again: Backtest) -> TriggerAgain:
    """Return the one trigger."""
    (trigger,) = again.triggers
    return trigger


@pytest.mark.parametrize(("duration", "alarms"), [("0s", 3), ("60s", 1), ("10m", 0)])
def test_false_alarms_at_the_baseline_are_counted(
    site: Site, duration: str, alarms: int
) -> None:
    """A bad minute alone, and three in a row, of a baseline that stands for the candidate."""
    healthy(site, (10, 60, 61, 62, 120))
    again = found(site, asked({"metric": "error_rate", "above": "5%", "for": duration,
                               "over": "1m"}))
    trigger = only(again)
    assert len(trigger.false_alarms or ()) == alarms
    assert trigger.healthy_days == pytest.approx(3 / 24, abs=0.001)
    assert trigger.false_alarms_per_day == pytest.approx(alarms * 8)
    assert "the baseline's own samples stand for the candidate's" in trigger.how
    assert not again.is_other, "nobody was on the candidate"


def test_windows_shorter_than_what_is_kept_are_told(site: Site) -> None:
    """Ten seconds cannot be seen in minutes, and it says so."""
    healthy(site, ())
    again = found(site, asked({"metric": "error_rate", "above": "5%", "for": "10s"}))
    assert "by whole minutes instead of windows of 10s" in only(again).how


@pytest.mark.parametrize(("trigger", "why"), [
    ({"metric": "error_rate", "ratio_to_baseline": 2, "for": "5s", "test": "threshold"},
     "no second system to compare with"),
    ({"metric": "memory", "above": "2GB", "for": "5s"}, "say nothing of another's"),
    ({"metric": "divergence_rate", "path": "$.total", "above": "5%", "for": "5s"},
     "single places are not gone through again"),
])
def test_triggers_that_nobody_can_ask_at_the_baseline_are_listed(
    site: Site, trigger: dict[str, Any], why: str
) -> None:
    """Never skipped in silence."""
    healthy(site, ())
    again = found(site, asked(trigger))
    assert any(why in each.why for each in again.unknown), again.unknown
    assert only(again).false_alarms is None


def test_unchanged_triggers_did_what_is_stored(site: Site) -> None:
    """Also where seconds are gone that they were fired by."""
    plan = asked({"metric": "error_rate", "above": "4%", "for": "3s"})
    plans.register(site.store, plan, source="test", now=BEGAN)
    told = Site(site.home, plan, site.store)
    move(site, BEGAN, 5000)
    samples.write(site.store, site.migration, [Sample("baseline", FIRST, requests=1)])
    at = BEGAN + timedelta(minutes=5)
    firings.record(site.store, TriggerFiring(
        site.migration, "one-0", TriggerAction.ALERT, "it was 7 %", {"value": 0.07}, at, at, 0))
    trigger = only(found(told, plan))
    assert trigger.change is Change.SAME
    assert [each.reason for each in trigger.now or ()] == ["it was 7 %"]
    assert not trigger.is_other


def test_trigger_that_the_plan_dropped_would_not_have_fired(site: Site) -> None:
    """What it did is told, and counts as a difference."""
    plan = asked({"metric": "error_rate", "above": "4%", "for": "3s"})
    told = Site(site.home, plan, site.store)
    move(site, BEGAN, 5000)
    samples.write(site.store, site.migration, [Sample("baseline", FIRST, requests=1)])
    at = BEGAN + timedelta(minutes=5)
    firings.record(site.store, TriggerFiring(
        site.migration, "one-0", TriggerAction.ALERT, "it was 7 %", {"value": 0.07}, at, at, 0))
    again = found(told, asked())
    assert (only(again).change, len(only(again).then), only(again).now) == (Change.DROPPED, 1, ())
    assert again.is_other


def harmed(site: Site, times: float) -> None:
    """Store a stage in which the candidate fails so many times as often, and the time before."""
    plan = make_plan(phases=[
        {"phase": "gradual", "stages": [{"percent": 50, "soak": "10m"}]}])
    cutover = cutovers.begin(site.store, site.migration, flow_run_id="a", now=BEGAN)
    move(site, BEGAN, 5000)
    cutovers.enter_stage(site.store, cutover.id, plan.stages()[0], now=BEGAN)
    chance, kept = np.random.default_rng(3), []
    for weight, start in ((0, FIRST - 7200), *((5000, FIRST + 60 * n) for n in range(6))):
        number = chance.poisson(10, 10_000)
        share = np.where(np.arange(10_000) < weight, 0.01 * times, 0.01)
        kept.append(Slice(weight, start, start + 60, {
            Counter.REQUESTS: number, Counter.ERRORS: chance.binomial(number, share)}))
    slices.save(site.store, site.migration, [packed(each) for each in kept],
                LogPlace(1, 1), gateway="main")
    healthy(site, ())


@pytest.mark.parametrize(("times", "fires"), [(5.0, True), (1.0, False)])
def test_triggers_and_gates_by_evidence_are_looked_at_in_the_kept_sums(
    site: Site, times: float, fires: bool
) -> None:
    """A rollback that evidence would have caused in the midst of a soak is told with its moment."""
    harmed(site, times)
    plan = make_plan(
        gates={"slo": [{"metric": "error_rate", "ratio_to_baseline": 2}]},
        phases=[{"phase": "gradual", "gates": ["slo"],
                 "stages": [{"percent": 50, "soak": "10m"}]}],
        triggers=[{"name": "worse", "metric": "error_rate", "ratio_to_baseline": 2,
                   "action": "rollback"}])
    again = found(site, plan)
    told = {each.trigger: len(each.now or ()) for each in again.triggers}
    assert told == ({"worse": 1, "gate slo": 1} if fires else {"worse": 0})
    assert again.is_other == fires
    (cutover,) = again.cutovers
    assert ("it would be rolled back" in cutover) == fires
    asked_about = {each.gate: (each.failed, each.soaks > 0) for each in again.healthy}
    assert asked_about == {"gate slo": (0, True), "trigger worse": (0, True)}


@given(st.lists(st.integers(0, 10**6), max_size=40), st.integers(1, 50))
def test_rolled_sums_are_those_of_each_window(values: list[int], width: int) -> None:
    """Exact for counts, also where a window begins before the first step."""
    found = rolled(np.array(values, np.float64), width)
    assert found.tolist() == [
        sum(values[max(0, last - width + 1):last + 1]) for last in range(len(values))]
