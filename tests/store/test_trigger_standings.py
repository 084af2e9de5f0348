"""How triggers stand: stored, read again, and said to people and programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from changeover.analysis.trigger import TriggerState
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.plan.model import Plan
from changeover.site import trigger_status
from changeover.store import firings, messages, trigger_standings
from changeover.store.engine import Store
from tests.store.conftest import shop

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SPECS = [
    {"name": "errors", "metric": "error_rate", "above": "5%", "for": "3s", "action": "rollback"},
    {"name": "worse", "metric": "error_rate", "ratio_to_baseline": 2, "action": "hold"},
    {"name": "budget", "metric": "error_rate", "budget": {"objective": "99.9%"},
     "action": "rollback"},
]


@pytest.fixture
def watched() -> Plan:
    """A plan with three kinds of triggers."""
    content = shop().model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Plan.model_validate({**content, "triggers": SPECS})


def standing(trigger: str, stands: Stands, **evidence: Any) -> TriggerStanding:
    """Return how a trigger stands at noon, since a minute."""
    since = None if stands is Stands.ARMED else NOON - timedelta(minutes=1)
    return TriggerStanding("shop", trigger, NOON, stands, since, 0.02, "so it is", evidence,
                           {"state": TriggerState(held_since=5).document(), "second": 9})


def test_standings_are_replaced_as_a_whole_and_read_as_they_were(store: Store) -> None:
    """A trigger that the plan has no more is gone."""
    first = [standing("errors", Stands.FIRING), standing("gone", Stands.ARMED)]
    trigger_standings.save(store, "shop", first)
    second = [standing("budget", Stands.ARMED, burn=3.5), standing("errors", Stands.CLEARED)]
    trigger_standings.save(store, "shop", second)
    assert trigger_standings.all_of(store, "shop") == second
    state = trigger_standings.all_of(store, "shop")[1].state["state"]
    assert TriggerState(**state) == TriggerState(held_since=5)


def test_status_says_how_every_trigger_stands(store: Store, watched: Plan) -> None:
    """Value, evidence or burn rate, since when, and that nobody judged one yet."""
    weighed = {"log_worse": 2.5, "log_bar": 5.3}
    trigger_standings.save(store, "shop", [
        standing("worse", Stands.FIRING, evidence=weighed),
        standing("budget", Stands.ARMED, burn=3.5)])
    errors, worse, budget = trigger_status.triggers(store, watched, now=NOON)
    assert (errors["stands"], errors["is_old"]) == ("armed", True)
    assert (worse["stands"], worse["log_worse"], worse["log_bar"]) == ("firing", 2.5, 5.3)
    assert (budget["burn"], budget["shown"]) == (3.5, "2.000 %, burn 3.5")
    assert [trigger_status.as_text(each) for each in (errors, worse)] == [
        "trigger errors (rollback): armed: nobody has judged it yet",
        "trigger worse (hold): firing since 2026-01-02T11:59:00: so it is"]
    assert budget["condition"] == (
        "failed requests of candidate burn the budget of 99.9 % over 30d 14.4 × in 1h and 5m or "
        "6 × in 6h and 30m")


def test_standing_that_nobody_renews_is_old(store: Store, watched: Plan) -> None:
    """The observer saves it every two seconds."""
    trigger_standings.save(store, "shop", [standing("errors", Stands.FIRING)])
    later = NOON + trigger_status.OLD_AFTER + timedelta(seconds=1)
    found = trigger_status.triggers(store, watched, now=later)[0]
    assert "(judged at 2026-01-02T12:00:00 and not since)" in trigger_status.as_text(found)


def test_trigger_that_is_over_is_told_once(store: Store) -> None:
    """Also when the observer was killed before it knew that it had told."""
    for _ in range(2):
        firings.end(store, "shop", "errors", reason="well again", second=100, at=NOON)
    firings.end(store, "shop", "errors", reason="again", second=900, at=NOON)
    told = [each.body for each in messages.newest(store, "shop")]
    assert told == ["well again", "again"]
