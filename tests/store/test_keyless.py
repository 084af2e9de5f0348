"""People see how many requests have no key, and are told once when they are many."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from changeover.analysis.window import Sample
from changeover.console.exposition.counters import Counters
from changeover.domain.audit import Author
from changeover.domain.messages import Severity
from changeover.domain.routing import Change, Mode
from changeover.plan.load import parse_plan
from changeover.site import keyless_status
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, messages, plans, routing, samples
from changeover.store.engine import Store
from reports import evidence
from reports.model import Keyless
from tests.core.test_capacity import PLAN
from tests.store.test_capacity import NOW


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    """A migration whose users are being split."""
    plan = parse_plan(PLAN + "notify: [{webhook: 'https://example.org/hook'}]\n", "own.yaml")
    plans.register(store, plan, source="test", now=NOW)
    routing.change(store, "shop", Change(mode=Mode.GRADUAL, weight=100), Author("a", "b"), now=NOW)
    return Site(Home(tmp_path / "home"), plan, store)


def measured(site: Site, keyless: int) -> None:
    """Store a minute of ten requests a second at each system, some of the baseline's keyless."""
    first = int(NOW.timestamp()) - 60
    samples.write(site.store, "shop", [
        each for second in range(60) for each in (
            Sample("baseline", first + second, requests=10, keyless=keyless if second < 10 else 0),
            Sample("candidate", first + second, requests=10))])


@pytest.mark.parametrize(("keyless", "line", "is_told"), [
    (0, [], False),
    (1, ["requests without a key: 0.8% (10 of 1200 in the last minute)"], False),
    (10, ["REQUESTS WITHOUT A KEY: 8.3% (100 of 1200 in the last minute)"], True),
], ids=["none", "few", "many"])
def test_share_is_shown_and_told_above_one_percent(
    site: Site, keyless: int, line: list[str], is_told: bool
) -> None:
    """However often it is looked at, people are told once."""
    measured(site, keyless)
    found = keyless_status.collect(site.store, "shop", now=NOW)
    assert keyless_status.lines(found) == line
    for again in range(3):
        keyless_status.tell(site, now=NOW + timedelta(seconds=again))
    told = [(each.severity, each.title) for each in messages.newest(site.store, "shop")]
    wanted = [(Severity.WARNING, "8.3% of the requests of shop have no key")] if is_told else []
    assert told == wanted


@pytest.mark.parametrize(("keyless", "fate"), [
    ("baseline", "they stay at the baseline until `full`, and are in no comparison"),
    ("split", "each goes to either system by chance")])
def test_report_and_counters_have_them(site: Site, keyless: str, fate: str) -> None:
    """The share of the whole time, by both systems together; Prometheus counts each request."""
    counters = Counters(site.store, "shop", NOW - timedelta(minutes=1))
    measured(site, 10)
    routing_spec = site.plan.routing.model_copy(update={"keyless": keyless})
    plan = site.plan.model_copy(update={"routing": routing_spec})
    cutovers.begin(site.store, "shop", flow_run_id="run", now=NOW - timedelta(minutes=1))
    assert evidence.collect(site.store, plan, None, now=NOW).keyless == Keyless(
        1200, 100, 100 / 1200, fate)
    counters.count(NOW + timedelta(seconds=10))
    assert {name: counters.others[name, "keyless"] for name in ("baseline", "candidate")} == {
        "baseline": 100, "candidate": 0}


@pytest.mark.parametrize("mode", [Mode.BASELINE_ONLY, Mode.EMERGENCY_ROLLBACK])
def test_nobody_is_told_before_it_matters(site: Site, mode: Mode) -> None:
    """While everyone is at the baseline no key decides anything."""
    measured(site, 10)
    routing.change(site.store, "shop", Change(mode=mode), Author("a", "b"), now=NOW)
    keyless_status.tell(site, now=NOW)
    assert not messages.newest(site.store, "shop")
