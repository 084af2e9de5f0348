"""People are told once when the way back comes to be at risk, and once when it is well again."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from changeover.domain.messages import Severity
from changeover.plan.load import parse_plan
from changeover.procedures.way_back_notice import AS_BEFORE, can_shrink, tell_of_way_back
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, messages, plans
from changeover.store.engine import Store
from tests.core.test_capacity import PLAN
from tests.store.test_capacity import NOW, loaded, minute, pulled

NOTIFY = "notify: [{webhook: 'https://example.org/hook'}]\n"


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    """A migration whose baseline bore 400 requests a second, and 310 arrive."""
    plan = parse_plan(PLAN + NOTIFY, "own.yaml")
    plans.register(store, plan, source="test", now=NOW)
    minute(store, 2, 10, 300)
    loaded(store, 400, 50)
    return Site(Home(tmp_path / "home"), plan, store)


def told(site: Site) -> list[tuple[Severity, str]]:
    """Return the severity and title of all messages."""
    return [(each.severity, each.title) for each in messages.newest(site.store, "shop")]


def seen(site: Site) -> list[str]:
    """Return what the audit says of the way back."""
    events = audit.events(site.store, "shop")
    return [each.kind for each in events if each.kind.startswith("way_back.")]


def after(seconds: float, site: Site) -> bool:
    return tell_of_way_back(site, now=NOW + timedelta(seconds=seconds))


RISK = (Severity.CRITICAL, "the way back of shop is at risk")
WELL = (Severity.INFO, "the way back of shop is well again")


def test_a_baseline_of_its_usual_size_is_no_news(site: Site) -> None:
    """Nothing was made smaller: nobody is told that all is well."""
    assert not after(0, site)
    assert told(site) == seen(site) == []


def test_each_turn_is_told_once(site: Site) -> None:
    """At risk, still at risk, well again because it was undone, and at risk anew."""
    pulled(site.store, "halve", 1)
    assert [after(number, site) for number in range(3)] == [True, False, False]
    assert told(site) == [RISK]
    (message,) = messages.newest(site.store, "shop")
    assert "`halve` left 50 % of it, 200 requests/s" in message.body
    assert "rolling back would NOT fit" in message.body
    pulled(site.store, "double", 0.5)
    assert [after(number, site) for number in (4, 5)] == [True, False]
    assert told(site) == [RISK, WELL]
    assert messages.newest(site.store, "shop")[-1].body == AS_BEFORE
    # within the ten minutes in which the same message is otherwise not sent again
    pulled(site.store, "halve", 0.4)
    assert after(6, site)
    assert told(site) == [RISK, WELL, RISK]
    assert seen(site) == ["way_back.at_risk", "way_back.well", "way_back.at_risk"]
    assert audit.verify(site.store, "shop") == []


def test_it_is_well_again_when_it_was_measured_to_fit(site: Site) -> None:
    """Also while the lever is still in effect."""
    pulled(site.store, "halve", 1)
    assert after(0, site)
    loaded(site.store, 390, 0.5)
    assert after(1, site)
    assert told(site) == [RISK, WELL]
    assert "rolling back would still fit" in messages.newest(site.store, "shop")[-1].body


def test_what_nobody_knows_is_a_risk(site: Site) -> None:
    """A lever of which the plan does not say how much it leaves."""
    pulled(site.store, "quarter", 1)
    assert after(0, site)
    assert told(site) == [(Severity.WARNING, RISK[1])]
    pulled(site.store, "halve", 0.9)
    assert not after(1, site)


def test_two_observers_tell_it_once(site: Site) -> None:
    """The audit is asked again under its lock."""
    pulled(site.store, "halve", 1)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(after(0, site))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == [False, False, False, True]
    assert told(site) == [RISK]


def test_without_such_a_lever_nothing_is_watched() -> None:
    """Most plans: no thread reads a month of minutes."""
    plan = parse_plan(PLAN, "own.yaml")
    assert can_shrink(plan)
    assert not can_shrink(plan.model_copy(update={"levers": {}}))
