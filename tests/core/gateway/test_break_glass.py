"""The journal of break glass: which one stays, and what is done once it is settled. Files only."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.own_moves import LOST
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.gateway.routes_on_disk import replace_json
from changeover.node.own_moves import OwnMoves
from tests.integration.conftest import make_plan

PLAN, NOW = make_plan(), clock.now()
STATE = RoutingState("bench", Mode.GRADUAL, 5000, version=7, epoch=2)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """The files of a node's gateway whose Envoy is not there."""
    found = Gateway(GatewayFiles(tmp_path / "gateway"), name="edge-1")
    found.files.root.mkdir()
    found.write_safe(PLAN, STATE)
    replace_json(found.files.routes, found.routes_of(PLAN, STATE))
    return found


def lose(moves: OwnMoves) -> None:
    moves.make("cut off", actor="gateway node edge-1", facts={LOST: True})


def test_who_breaks_glass_at_a_lost_node_keeps_its_users_at_the_baseline(gateway: Gateway) -> None:
    """They would come back with the store; both moves are told."""
    moves = OwnMoves(gateway)
    lose(moves)
    lost = gateway.journal()
    entry = gateway.break_glass(reason="wrong sums", actor="ann", now=NOW)
    assert (entry["epoch"], entry["version"], entry["reason"], entry["actor"]) == (
        3, 9, "wrong sums", "ann")
    assert LOST not in entry and gateway.journal() == entry
    assert gateway.on_disk() == (3, 9)
    assert lost is not None and [each["at"] for each in moves.waiting()] == [
        lost["at"], entry["at"]]


def test_the_first_journal_stays_but_for_that_of_a_lost_node(gateway: Gateway) -> None:
    """The store is to learn what moved users."""
    entry = gateway.break_glass(reason="wrong sums", actor="ann", now=NOW)
    lose(OwnMoves(gateway))
    assert gateway.break_glass(reason="again", actor="bo", now=NOW) == entry == gateway.journal()


def test_a_move_that_came_meanwhile_is_not_taken_for_the_one_that_is_settled(
    gateway: Gateway
) -> None:
    """The store was asked about one journal, and another one is there when it has answered."""
    moves = OwnMoves(gateway)
    lose(moves)
    asked = moves.journal
    gateway.break_glass(reason="wrong sums", actor="ann", now=NOW)
    assert not moves.let_back(PLAN, STATE, asked)
    assert gateway.journal() is not None and gateway.on_disk() == (3, 9)
    # also where there was none
    assert not moves.let_back(PLAN, STATE, None)
    assert moves.let_back(PLAN, STATE, moves.journal)
    assert gateway.journal() is None and gateway.on_disk() == (2, 7)


def test_safe_routes_that_were_copied_by_hand_last_once_glass_is_broken(gateway: Gateway) -> None:
    """They have the version that was served, so nobody knows of them; the runbook says so."""
    gateway.files.safe_routes.rename(gateway.files.routes)
    assert gateway.on_disk() == STATE.order and gateway.journal() is None
    gateway.write_safe(PLAN, STATE)
    entry = gateway.break_glass(reason="database down", actor="ann", now=NOW)
    assert gateway.on_disk() == (entry["epoch"], entry["version"]) > STATE.order
    assert gateway.journal() == entry
