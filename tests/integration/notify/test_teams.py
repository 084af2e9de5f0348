"""Teams are told of the decisions that they answer for, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from changeover.domain.audit import NewEvent
from changeover.errors import InvalidPlan
from changeover.notify.channels import channels_of
from changeover.notify.relaying import Relaying
from changeover.notify.teams import teams_of, unreachable
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.procedures import NotifySpec
from changeover.site import relay_status
from changeover.store import audit, plans
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support.hook import Hook, hook
from tests.support.ready_store import ready_store

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def opened(folder: Path, notify: list[dict[str, Any]]) -> tuple[Store, Plan]:
    """Return a store that knows a plan with these targets."""
    plan = parse_plan(GOOD, "own.yaml").model_copy(
        update={"notify": [NotifySpec.model_validate(each) for each in notify]})
    store = ready_store(f"sqlite:///{folder / 'store.db'}")
    plans.register(store, plan, source="plan.yaml", now=NOW)
    return store, plan


def tell(store: Store, plan: Plan) -> None:
    """Tell every team once."""
    for team in teams_of(plan):
        Relaying(store, plan.migration, team, lambda: datetime.now(UTC)).run()


def decide(store: Store, kind: str, **data: Any) -> None:
    audit.record(store, "shop", NewEvent(actor="test", kind=kind, at=NOW, data=data))


def texts(found: Hook) -> list[str]:
    return [each["text"] for each in found.got]


def test_each_team_gets_its_own_decisions_in_order(tmp_path: Path) -> None:
    """Product hears of stages and approvals, support of traffic and rollbacks."""
    with hook() as product, hook() as support:
        store, plan = opened(tmp_path, [
            {"team": "product", "webhook": product.address, "events": ["approval.*", "stage.*"]},
            {"team": "support", "webhook": support.address, "events": ["rollback.*"]}])
        tell(store, plan)
        decide(store, "stage.promoted", stage="gradual-10", reason="every gate passed")
        decide(store, "rollback.started", reason="trigger errors")
        decide(store, "approval.asked", stage="gradual-50")
        tell(store, plan)
        tell(store, plan)
        assert texts(product) == [
            "shop: gradual 10 % promoted", "shop: people asked about gradual 50 %"]
        assert texts(support) == ["shop: rollback: everyone to the baseline"]
        assert support.got[0]["severity"] == "critical"
        assert support.got[0]["team"] == "support"
        assert "trigger errors" in support.got[0]["detail"]
        store.close()


def test_a_team_that_is_away_gets_them_later_and_delays_no_other(tmp_path: Path) -> None:
    """The status says since when and how many wait."""
    with hook() as here, hook(status=503) as away:
        store, plan = opened(tmp_path, [
            {"team": "away", "webhook": away.address, "events": ["stage.*"]},
            {"team": "here", "webhook": here.address, "events": ["stage.*"]}])
        tell(store, plan)
        decide(store, "stage.promoted", stage="gradual-10")
        tell(store, plan)
        assert len(here.got) == 1
        (trouble,) = [each for each in relay_status.collect(store, plan)
                      if each["target"] == "team away"]
        assert "503" in trouble["problem"]
        store.close()


def test_a_team_gets_no_messages_and_an_unset_variable_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages go to targets without a team."""
    monkeypatch.delenv("PRODUCT_CHANNEL", raising=False)
    store, plan = opened(tmp_path, [
        {"team": "product", "env": "PRODUCT_CHANNEL", "events": ["stage.*"]}])
    assert channels_of(plan.notify) == ([], [])
    assert teams_of(plan) == []
    assert unreachable(plan) == ["team product: the variable PRODUCT_CHANNEL is not set"]
    store.close()


@pytest.mark.parametrize("wrong", [
    {"team": "product"}, {"events": ["stage.*"]}, {"team": "p", "events": ["nonsense.*"]}])
def test_what_no_team_can_be_is_refused(wrong: dict[str, Any]) -> None:
    """With what is missing."""
    with pytest.raises(ValidationError):
        NotifySpec.model_validate({"webhook": "http://127.0.0.1:1/x", **wrong})


def test_two_teams_of_one_name_are_refused() -> None:
    """Each has a place of its own in the audit."""
    one = "{team: a, webhook: 'http://127.0.0.1:1/x', events: [stage.*]}"
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(f"{GOOD}notify: [{one}, {one}]\n", "own.yaml")
    assert "another team is called 'a'" in str(refused.value)
