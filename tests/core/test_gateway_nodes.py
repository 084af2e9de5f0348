"""Who serves a version, who does not, and in which words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.gateway_nodes import Fleet, GatewayNode, NodeState, as_data
from changeover.domain.routing import System
from changeover.node import own_plan
from changeover.node.card import Card
from changeover.node.standing import Known, readiness
from changeover.store.gateway_nodes import Identity
from tests.integration.conftest import make_plan

NOW = datetime(2026, 1, 2, 12, 0, 5, tzinfo=UTC)


def node(
    number: int, *, version: int | None = 7, age: float = 0.5, **others: object
) -> GatewayNode:
    found = GatewayNode(
        "shop", f"edge-{number}", f"10.0.0.{number}:8100", "home", NodeState.READY, NOW,
        NOW - timedelta(seconds=age), None if version is None else 0, version)
    return replace(found, **others)  # type: ignore[arg-type]


def test_all_that_live_serve_it() -> None:
    """Nothing is left to say."""
    fleet = Fleet.of([node(1), node(2, version=8)], NOW)
    assert fleet.text((0, 7)) == "2 of 2 nodes confirmed"
    assert not fleet.behind((0, 7)) and not fleet.lost((0, 7))


def test_a_silent_node_is_named_with_its_last_sign_and_not_waited_for() -> None:
    """With the day, when that was not today."""
    fleet = Fleet.of([node(1), node(3, version=6, age=5.0)], NOW)
    assert fleet.text((0, 7)) == "1 of 2 nodes confirmed, edge-3 not heard of since 12:00:00 UTC"
    assert fleet.behind((0, 7)) == [] and fleet.lost((0, 7)) == [fleet.nodes[1]]
    old = Fleet.of([node(3, age=13 * 3600)], NOW)
    assert old.text((0, 7)).endswith("edge-3 not heard of since 2026-01-01 23:00:05 UTC")


def test_a_live_node_that_is_behind_is_waited_for_and_says_why() -> None:
    """In its own words."""
    fleet = Fleet.of([node(1, version=6), node(2, version=6, problem="Envoy refuses it")], NOW)
    assert [each.name for each in fleet.behind((0, 7))] == ["edge-1", "edge-2"]
    assert fleet.text((0, 7)) == (
        "0 of 2 nodes confirmed, edge-1 still serves version 6 (epoch 0), "
        "edge-2 serves version 6 (epoch 0): Envoy refuses it")


def test_a_rollback_is_later_than_every_version_before() -> None:
    """By epoch first."""
    assert Fleet.of([node(1, version=90)], NOW).behind((1, 8))


def test_the_main_gateway_is_one_of_the_gateways_for_who_is_elsewhere() -> None:
    """It counts also while its Envoy serves nothing: users are let in at once there."""
    main = node(0, version=6, name="main")
    fleet = Fleet.of([node(1), main], NOW)
    assert fleet.text((0, 7)) == (
        "1 of 2 gateways confirmed, the main gateway still serves version 6 (epoch 0)")
    dead = replace(main, epoch=None, version=None, problem="Envoy does not answer")
    assert Fleet.of([dead], NOW).behind((0, 0)) == [dead]
    assert Fleet.of([dead], NOW).text((0, 7)) == (
        "0 of 1 gateways confirmed, the main gateway: Envoy does not answer")


@pytest.mark.parametrize("gone", [
    node(1, state=NodeState.GONE), node(1, age=25 * 3600), node(1, version=None)])
def test_who_has_gone_or_does_not_serve_yet_is_not_counted(gone: GatewayNode) -> None:
    """Neither waited for nor named."""
    fleet = Fleet.of([gone, node(2)], NOW)
    assert fleet.text((0, 7)) == "1 of 1 nodes confirmed"


def test_programs_get_each_node_with_whether_it_is_current() -> None:
    """Also one that only starts."""
    fleet = Fleet.of([node(1, version=6), node(2, version=None, state=NodeState.STARTING)], NOW)
    first, second = as_data(fleet, (0, 7))
    assert (first["is_current"], first["age_seconds"], first["is_silent"]) == (False, 0.5, False)
    assert "which is not the newest" in first["text"]
    assert second["text"].startswith("starting, serves nothing yet")


SERVES = Known(False, True, (0, 7), (0, 7), 0.1)
ROLLED_BACK = {"wanted": (1, 8), "served": (0, 7)}


@pytest.mark.parametrize(("change", "state", "words"), [
    ({}, NodeState.READY, "serves version 7 (epoch 0)"),
    # all nodes read a new version in the same moment
    ({"served": (0, 6)}, NodeState.READY,
     "serves version 6 (epoch 0), the newest is version 7 (epoch 0): it is being published"),
    ({"served": (0, 6), "problem": "refused", "waiting": 60.0}, NodeState.READY, "0): refused"),
    ({**ROLLED_BACK, "waiting": 0.9}, NodeState.READY, "the newest is version 8 (epoch 1)"),
    ({**ROLLED_BACK, "waiting": 1.1}, NodeState.STARTING, "the newest is version 8 (epoch 1)"),
    ({**ROLLED_BACK, "waiting": 1.1, "silence": 60.0}, NodeState.STARTING, "the newest"),
    ({"served": None}, NodeState.STARTING, "nothing yet"),
    ({"is_serving": False}, NodeState.STARTING, "Envoy does not answer"),
    ({"silence": None, "wanted": None}, NodeState.STARTING, "has not answered yet"),
    ({"silence": 60.0}, NodeState.READY, "cut off from the store for 60 s"),
    ({"is_draining": True}, NodeState.DRAINING, "asked to end"),
    ({"problem": "an earlier plan"}, NodeState.READY, "an earlier plan"),
])
def test_a_node_is_ready_with_routes_of_the_present_epoch_also_without_the_store(
    change: dict[str, object], state: NodeState, words: str
) -> None:
    """All nodes publish, or lose the store, at once: users must go somewhere."""
    found = readiness(replace(SERVES, **change))  # type: ignore[arg-type]
    assert found.state is state and found.is_ready is (state is NodeState.READY)
    assert words in found.text


def test_a_rollback_that_a_node_reads_at_its_start_is_not_waited_with() -> None:
    """An Envoy that was left may serve routes of long ago; a later one has a second."""
    card = Card(Identity("shop", "edge-1", "home", ""))
    card.is_serving, card.served = True, (0, 7)
    card.heard()
    card.want((1, 8))
    assert not card.readiness().is_ready
    card.served = (1, 8)
    card.want((2, 9))
    card.want((2, 10))
    assert card.readiness().is_ready
    card._rolled_back -= 1.5
    assert not card.readiness().is_ready


def test_a_node_has_its_own_address_and_takes_copies_only_where_they_are_compared() -> None:
    """And says what would mean another machine there."""
    plan = make_plan(shadow={"sample": "10%"})
    own = own_plan.of_node(plan, "0.0.0.0:8100")
    assert (own.routing.listen, own.shadow) == ("0.0.0.0:8100", None)
    assert own_plan.of_node(plan, None, has_shadow=True).shadow == plan.shadow
    assert own_plan.of_node(plan, None).routing == plan.routing
    assert len(own_plan.warnings(plan)) == len(list(System))
