"""What the store says of the way back: measured, observed, made smaller, undone."""

from __future__ import annotations

from datetime import timedelta

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.audit import NewEvent
from changeover.domain.capacity import Fit
from changeover.domain.suites import SuiteCheck
from changeover.domain.verdict import Verdict
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.site import capacity, capacity_status
from changeover.store import audit, plans, samples, validations
from changeover.store.engine import Store
from reports.evidence import collect
from reports.render import render_html, render_markdown
from tests.core.test_capacity import PLAN

NOW = clock.now().replace(second=0, microsecond=0)
HOUR = timedelta(hours=1)


def registered(store: Store) -> Plan:
    plan = parse_plan(PLAN, "own.yaml")
    plans.register(store, plan, source="test", now=NOW)
    return plan


def minute(store: Store, hours_ago: float, baseline: int, candidate: int, failed: int = 0) -> None:
    """Write what both systems were asked in a minute, per second, by two gateways."""
    at = int((NOW - hours_ago * HOUR).timestamp())
    for gateway in ("a", "b"):
        samples.write(store, "shop", [
            Sample("baseline", at, 60, gateway, requests=30 * baseline,
                   errors={"status_5xx": failed}),
            Sample("candidate", at, 60, gateway, requests=30 * candidate)])


def pulled(store: Store, lever: str, hours_ago: float, problem: str = "") -> None:
    audit.record(store, "shop", NewEvent(
        actor="test", kind="lever.pulled", at=NOW - hours_ago * HOUR,
        data={"lever": lever, "problem": problem}))


def loaded(store: Store, rate: float, hours_ago: float) -> None:
    """Write a load check that found the baseline to bear a rate."""
    at = NOW - hours_ago * HOUR
    run = validations.begin(store, "shop", "load", key=f"run {rate}", now=at)
    rows = [{"rate": rate, "answered_per_second": rate, "sent": 10, "failed": 0}]
    for number, evidence in enumerate(({"baseline": rows}, {"candidate": rows})):
        validations.save_check(store, SuiteCheck(
            run.id, number, "load", "load", Verdict.PASS, "", evidence, at, 1.0))


def test_what_arrives_is_the_busiest_minute_of_a_day_over_all_gateways(store: Store) -> None:
    """Of both systems together; the busiest minute that the baseline answered well counts."""
    plan = registered(store)
    minute(store, 30, 500, 0, failed=600)
    minute(store, 29, 400, 0)
    minute(store, 3, 100, 210)
    minute(store, 2, 90, 200)
    room = capacity.room(store, plan, now=NOW)
    assert (room.capacity, room.arriving, room.fit) == (400, 310, Fit.FITS)


def test_the_newest_load_of_the_baseline_counts(store: Store) -> None:
    """Also when a later check loaded only the candidate."""
    plan = registered(store)
    minute(store, 2, 10, 300)
    loaded(store, 360, 50)
    loaded(store, 370, 40)
    room = capacity.room(store, plan, now=NOW)
    assert (room.capacity, room.fit) == (370, Fit.DOES_NOT)
    assert "load of suite load, 40 hours ago" in room.text


def test_while_it_is_smaller_everyone_is_told_and_then_no_more(store: Store) -> None:
    """The status, the report and the page of it, until a lever has undone it."""
    plan = registered(store)
    minute(store, 2, 10, 300)
    loaded(store, 400, 50)
    assert capacity_status.collect(store, plan, now=NOW) is None
    pulled(store, "halve", 1)
    shown = capacity_status.collect(store, plan, now=NOW)
    assert shown is not None
    assert (shown["fit"], shown["capacity_per_second"]) == ("does_not", 200)
    (line,) = capacity_status.lines(shown)
    assert line.startswith("WAY BACK AT RISK: The baseline was last measured at 400 requests/s")
    assert "`halve` left 50 % of it, 200 requests/s" in line
    data = collect(store, plan, None, now=NOW)
    assert data.way_back == shown["text"]
    assert "rolling back would NOT fit" in render_html(data)
    assert "rolling back would NOT fit" in render_markdown(data)
    loaded(store, 390, 0.5)  # measured since it is smaller
    assert capacity_status.lines(capacity_status.collect(store, plan, now=NOW))[0].endswith(
        "372/s with 20% headroom: rolling back would still fit")
    pulled(store, "double", 0.4, problem="no answer")
    assert capacity_status.collect(store, plan, now=NOW) is not None
    pulled(store, "double", 0.3)
    assert capacity_status.collect(store, plan, now=NOW) is None
