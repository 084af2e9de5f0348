"""What a node says it did while it was cut off, and what is left to record of it."""

from __future__ import annotations

import pytest

from changeover.domain.gateway_nodes import Fleet, NodeState
from changeover.domain.own_moves import move_of, unrecorded
from changeover.domain.routing import Mode, RoutingState, users_come
from tests.core.test_gateway_nodes import NOW, node

FIRST, SECOND = {"at": "1", "epoch": 1, "lost": True}, {"at": "2", "epoch": 2, "reason": "slow"}


@pytest.mark.parametrize(("recorded", "left"), [
    ("", [FIRST, SECOND]), ("1", [SECOND]), ("2", []), ("of a database before", [FIRST, SECOND])])
def test_what_comes_after_the_one_that_is_recorded_is_left(
    recorded: str, left: list[object]
) -> None:
    """By place, since a clock may be set back; all of it when the mark is not known."""
    assert unrecorded([FIRST, SECOND], recorded) == left


def test_a_journal_of_rollback_sh_is_a_rollback_too() -> None:
    """It has no firing."""
    move = move_of("edge-1", {"at": "1", "epoch": 3, "reason": "by hand", "actor": "ann"})
    assert (move.epoch, move.is_lost, dict(move.firing)) == (3, False, {})


def test_a_node_that_rolled_back_by_itself_serves_no_version_of_before() -> None:
    """Its epoch is ahead; a publication of the old one is not confirmed by it."""
    apart = node(1, version=8, epoch=1, own_moves=[SECOND])
    fleet = Fleet.of([apart, node(2)], NOW)
    assert [each.name for each in fleet.behind((0, 9))] == ["edge-1", "edge-2"]
    assert fleet.confirmed((0, 7)) == [fleet.nodes[1]]
    # the rollback itself is what it serves
    assert fleet.behind((1, 8)) == [fleet.nodes[1]]
    told = node(1, version=8, epoch=1, own_moves=[SECOND], recorded="2")
    assert Fleet.of([told], NOW).behind((0, 9)) == []


def test_a_node_that_has_gone_is_still_to_be_recorded() -> None:
    """It may have been ended before anybody read what it did."""
    gone = node(1, state=NodeState.GONE, own_moves=[SECOND])
    assert Fleet.of([gone], NOW) == Fleet((), NOW, (gone,))


def test_users_come_by_a_new_share_and_not_by_a_return_in_steps() -> None:
    """What was measured before they came counts no more."""
    at, back = Mode.GRADUAL, Mode.EMERGENCY_ROLLBACK
    none, some = RoutingState("shop"), RoutingState("shop", at, weight=500)
    assert users_come(none, some) and not users_come(some, some)
    assert not users_come(some, RoutingState("shop", Mode.RETURNING, weight=100, epoch=1))
    assert users_come(some, RoutingState("shop", at, weight=500, epoch=1))
    assert not users_come(some, RoutingState("shop", back, epoch=1))
