"""Guardrails of a plan with routes compare what both systems serve, not what one has alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.check import CheckResult
from changeover.analysis.window import Measurements, Met, Sample, Window
from changeover.domain.audit import Author
from changeover.domain.procedures import again_step
from changeover.domain.routing import Change, System
from changeover.domain.stages import change_for
from changeover.domain.verdict import Verdict
from changeover.gateway.accesslog import Entry
from changeover.observer.accumulate import Accumulator
from changeover.plan.guardrails import Guardrail
from changeover.plan.model import Stage
from changeover.procedures.guardrail_evidence import (
    Seen,
    compared_parts,
    judge_guardrails,
    was_counted_otherwise,
)
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing, samples
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE

NOW = clock.now().replace(microsecond=0)
ENTERED = NOW - timedelta(minutes=2)
REST, ORDERS, SEARCH, HELP = "without:route", "route:orders", "route:search", "route:help"
PARTS: dict[str, Any] = {
    "routes": [
        {"name": "login", "path": {"prefix": "/login"}, "move": "never"},
        {"name": "orders", "path": {"prefix": "/orders"}},
        {"name": "search", "path": {"prefix": "/search"}},
        {"name": "late", "path": {"prefix": "/late"}},
        {"name": "help", "path": {"prefix": "/help"}, "move": "together"}],
    "phases": [
        {"phase": "gradual", "stages": [{"routes": ["orders"], "percent": 100, "soak": 0}]},
        {"phase": "gradual", "stages": [
            {"routes": ["orders", "search"], "percent": 100, "soak": 0},
            {"percent": 50, "soak": 0}]},
        {"phase": "full", "soak": 0}]}


@pytest.fixture
def run(store_url: str, tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover with two routes at the candidate and half of everything else."""
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    plan = make_plan(**PARTS)
    plans.register(store, plan, source="test", now=ENTERED)
    cutover = cutovers.begin(store, plan.migration, flow_run_id="one", now=ENTERED)
    for stage in plan.stages()[:3]:
        change = change_for(stage, plan, 0)
        routing.change(store, "bench", change, Author("test", "test"), now=ENTERED)
        cutovers.enter_stage(store, cutover.id, stage, now=ENTERED)
    yield CutoverRun(Site(Home(tmp_path), plan, store), cutover, "one")
    store.close()


def test_a_stage_compares_what_it_moves(run: CutoverRun) -> None:
    """Routes of a stage of routes; of the others what has none, with those that move with it; in
    `full` also those that no stage named.
    """
    first, second, half, full = run.site.plan.stages()
    assert compared_parts(run.site, first) == [ORDERS]
    assert compared_parts(run.site, second) == [ORDERS, SEARCH]
    assert compared_parts(run.site, half) == [REST, HELP]
    assert compared_parts(run.site, full) == [REST, "route:late", HELP]


def test_a_route_that_went_back_is_not_compared(run: CutoverRun) -> None:
    """The candidate has none of it; a stage of this route alone compares nothing then."""
    routing.change(run.site.store, "bench", Change(takes_back=ORDERS), Author("a", "b"), now=NOW)
    first, second = run.site.plan.stages()[:2]
    assert compared_parts(run.site, first) == []
    assert compared_parts(run.site, second) == [SEARCH]


def met(requests: int, bad: int) -> Measurements:
    """Return requests of forty users without an answer for some: 4xx."""
    users = tuple(range(0, 80, 2))
    return Measurements(
        requests=requests, client_errors=bad, answers=requests - bad,
        users={Met.ANSWER: users, Met.CLIENT_ERROR: users[:bad]})


@pytest.mark.parametrize(("rest", "said"), [(0, Verdict.PASS), (30, Verdict.FAIL)],
                         ids=["only the route answers so", "the rest, too"])
def test_a_path_with_answers_of_its_own_raises_no_alarm(
    run: CutoverRun, rest: int, said: Verdict
) -> None:
    """The candidate alone serves orders, which are 4xx as they always were."""
    parts = {"candidate": {ORDERS: met(40, 40), REST: met(40, rest)},
             "baseline": {ORDERS: met(0, 0), REST: met(40, 0)}}
    rows = []
    for second in range(1, 60):
        for system, subsets in parts.items():
            whole = subsets[ORDERS].client_errors + subsets[REST].client_errors
            rows.append(Sample(
                system, int(ENTERED.timestamp()) + second, requests=80, client_errors=whole,
                answers=80 - whole, probes=1, probes_up=1, users=met(40, 30).users,
                subsets=subsets))
    samples.write(run.site.store, "bench", rows)
    half = run.site.plan.stages()[2]
    record = cutovers.stage(run.site.store, run.id, half.key)
    assert record is not None
    found = judge_guardrails(run, record, half, Seen(has_share=False, regressions=None), end=NOW)
    verdicts = {each.bound.split()[1].rstrip(":"): each.verdict for each in found.results}
    assert verdicts[Guardrail.CLIENT_ERRORS] is said
    assert verdicts[Guardrail.DOWN] is Verdict.PASS


def answered(system: System, at: int, statuses: list[int], part: str) -> list[Entry]:
    """Return lines of the gateway's log, each of another user that the split decided about."""
    return [Entry(at + 0.5, 1500, status, frozenset(), "split:5000:safe", f"{system} {number}",
                  system, 1, chosen=system, body_bytes=900, subsets=frozenset({part}))
            for number, status in enumerate(statuses)]


def stored(run: CutoverRun, entries: list[Entry], *, subsets: list[str]) -> None:
    """Store what an observer that counts these subsets measures of some lines."""
    accumulator = Accumulator(first=int(min(each.end for each in entries)), subsets=subsets)
    for each in entries:
        accumulator.add(each)
    last = int(max(each.end for each in entries))
    samples.write(run.site.store, "bench", accumulator.pop_changed(last + 1))


def judged(run: CutoverRun, spec: Stage) -> dict[str, CheckResult]:
    """Return what each guardrail says at a stage's gate."""
    record = cutovers.stage(run.site.store, run.id, spec.key)
    assert record is not None
    found = judge_guardrails(run, record, spec, Seen(has_share=True, regressions=None), end=NOW)
    return {each.bound.split()[1].rstrip(":"): each for each in found.results}


def test_requests_in_the_log_raise_an_alarm_by_their_users(run: CutoverRun) -> None:
    """A part keeps its users in the store; what was compared is in the evidence."""
    at, names = int(ENTERED.timestamp()) + 9, [ORDERS, REST, SEARCH, HELP]
    stored(run, [*answered(System.CANDIDATE, at, [404] * 16 + [200] * 24, REST),
                 *answered(System.BASELINE, at, [200] * 40, REST)], subsets=names)
    found = judged(run, run.site.plan.stages()[2])
    alarm = found[Guardrail.CLIENT_ERRORS]
    assert alarm.verdict is Verdict.FAIL
    assert "counted by users" in alarm.reason
    assert alarm.as_evidence()["parts"] == [REST, HELP]
    assert "parts" not in found[Guardrail.DOWN].as_evidence()


def test_requests_from_before_users_came_again_raise_no_alarm(run: CutoverRun) -> None:
    """They were of the candidate as it was, and have taken the users back already."""
    at, half = int(ENTERED.timestamp()) + 9, run.site.plan.stages()[2]
    stored(run, [*answered(System.CANDIDATE, at, [404] * 16 + [200] * 24, REST),
                 *answered(System.BASELINE, at, [200] * 40, REST)],
           subsets=[ORDERS, REST, SEARCH, HELP])
    record = cutovers.stage(run.site.store, run.id, half.key)
    assert record is not None
    cutovers.next_round(run.site.store, record, until=NOW, now=NOW)
    assert judged(run, half)[Guardrail.CLIENT_ERRORS].verdict is Verdict.FAIL
    run.once(again_step(half.key, record.round), lambda: ("again", {}))
    assert judged(run, half)[Guardrail.CLIENT_ERRORS].verdict is not Verdict.FAIL


def test_what_was_measured_before_the_upgrade_is_compared_as_a_whole(run: CutoverRun) -> None:
    """The baseline's day before counted routes only: better all of its requests than none."""
    at, names = int(ENTERED.timestamp()), [ORDERS, REST, SEARCH, HELP]
    stored(run, answered(System.BASELINE, at - 600, [200] * 60, ORDERS), subsets=[ORDERS])
    stored(run, answered(System.CANDIDATE, at + 9, [404] * 40, REST), subsets=names)
    half = judged(run, run.site.plan.stages()[2])[Guardrail.CLIENT_ERRORS]
    assert half.verdict is Verdict.FAIL
    assert "in 60 before the stage (in all requests" in half.reason
    # of a route that was counted it is known how the baseline answers it
    route = judged(run, run.site.plan.stages()[0])[Guardrail.CLIENT_ERRORS]
    assert "all requests" not in route.reason


@pytest.mark.parametrize(("known", "parts", "is_otherwise"), [
    ([], [REST], True), ([ORDERS], [REST, ORDERS], True), ([], [ORDERS], True),
    ([ORDERS], [ORDERS], False), ([REST], [HELP], False), ([], [], False)])
def test_windows_of_an_earlier_version_are_told_by_what_they_count(
    known: list[str], parts: list[str], is_otherwise: bool
) -> None:
    """With what has no route everything is counted: a part that is missing then had no request."""
    whole = Window(seconds=60, requests=9, subsets={name: Measurements() for name in known})
    assert was_counted_otherwise(whole, parts) is is_otherwise
