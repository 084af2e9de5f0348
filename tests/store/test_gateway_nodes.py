"""A node's row in the store: made by its start, renewed by its signs of life."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import GatewayNode, NodeState
from changeover.errors import InvalidInput, Refused
from changeover.store import audit, gateway_nodes
from changeover.store.base import to_record
from changeover.store.engine import Store
from changeover.store.gateway_nodes import GatewayNodeRow, Identity, Sign

EDGE = Identity("shop", "edge-1", "its home", "10.0.0.1:8100")
OTHER = Identity("shop", "edge-1", "another home", "10.0.0.2:8100")
READY = Sign(NodeState.READY, (0, 7), 1_700_000_000)


def known(store: Store) -> GatewayNode:
    """Return the node as the store knows it."""
    with store.read() as session:
        return to_record(GatewayNode, session.get_one(GatewayNodeRow, ("shop", "edge-1")))


def test_a_node_whose_row_is_missing_is_there_again_with_its_next_sign(store: Store) -> None:
    """A database that was restored is of before its start: that must end no node that serves."""
    gateway_nodes.join(store, EDGE)
    assert gateway_nodes.sign(store, EDGE, READY)
    before = known(store)
    with store.begin() as session:
        session.execute(delete(GatewayNodeRow))
    assert gateway_nodes.sign(store, EDGE, READY)
    after = known(store)
    assert (after.home, after.state, after.order, after.address, after.measured_until) == (
        before.home, NodeState.READY, (0, 7), "10.0.0.1:8100", 1_700_000_000)
    assert after.confirmed_at is not None
    assert [each.name for each in gateway_nodes.fleet(store, "shop").live] == ["edge-1"]


def test_a_copy_of_a_home_takes_the_name_from_the_node_that_started_before(store: Store) -> None:
    """Two with one name would replace each other's measurements."""
    first = gateway_nodes.join(store, EDGE)
    assert gateway_nodes.sign(store, first, READY)
    copy = gateway_nodes.join(store, EDGE)
    assert not gateway_nodes.sign(store, first, READY)
    assert gateway_nodes.sign(store, copy, READY)
    assert not gateway_nodes.sign(store, first, READY)


def test_a_home_that_has_not_told_everything_keeps_its_name(store: Store) -> None:
    """The row has what that node did: another home would take it over, and nobody would follow."""
    move = {"at": "2026-01-01T00:00:00+00:00", "epoch": 1, "reason": "slow"}
    assert gateway_nodes.sign(store, gateway_nodes.join(store, EDGE), replace(
        READY, state=NodeState.GONE, own_moves=(move,)))
    with pytest.raises(Refused, match="while it was cut off is not recorded yet"):
        gateway_nodes.join(store, OTHER)
    # the same home tells it again
    gateway_nodes.join(store, EDGE)
    assert gateway_nodes.sign(store, EDGE, replace(
        READY, state=NodeState.GONE, own_moves=(move,)))
    gateway_nodes.note_recorded(store, "shop", "edge-1", move["at"])
    gateway_nodes.join(store, OTHER)
    assert known(store).home == "another home"


def test_a_row_of_an_earlier_start_is_taken_over(store: Store) -> None:
    """A database that was restored may know the start before this one."""
    first = gateway_nodes.join(store, EDGE)
    later = gateway_nodes.join(store, EDGE)
    with store.begin() as session:
        session.execute(update(GatewayNodeRow).values(started=first.started))
    assert gateway_nodes.sign(store, later, READY)
    assert known(store).started == later.started
    with store.begin() as session:
        session.execute(delete(GatewayNodeRow))
    for _ in range(2):
        assert gateway_nodes.sign(store, later, READY)
    assert known(store).started == later.started


def test_only_another_home_takes_a_name_away(store: Store) -> None:
    """The first that comes after a restore has it."""
    assert gateway_nodes.sign(store, OTHER, READY)
    assert not gateway_nodes.sign(store, EDGE, READY)
    assert known(store).home == "another home"


MOVE = {"at": "2026-01-02T12:00:00+00:00", "epoch": 1, "version": 8, "reason": "slow"}


def test_what_a_node_did_is_said_until_it_is_recorded(store: Store) -> None:
    """The node writes what it did, the observer up to where it is recorded."""
    edge = gateway_nodes.join(store, EDGE)
    told = replace(READY, own_moves=(MOVE,))
    assert gateway_nodes.sign(store, edge, told)
    untold, = gateway_nodes.fleet(store, "shop").untold
    assert [move.reason for move in untold.unrecorded] == ["slow"]
    assert gateway_nodes.recorded(store, edge) == ""
    gateway_nodes.note_recorded(store, "shop", "edge-1", MOVE["at"])
    # the node does not know it yet, and says the same again
    assert gateway_nodes.sign(store, edge, told)
    assert gateway_nodes.recorded(store, edge) == MOVE["at"]
    assert gateway_nodes.fleet(store, "shop").untold == ()
    # a start knows what is recorded, and says anew what it has
    edge = gateway_nodes.join(store, EDGE)
    assert gateway_nodes.recorded(store, edge) == MOVE["at"]


def silence(store: Store) -> None:
    """Have the node's last sign of life be of a minute ago."""
    with store.begin() as session:
        session.execute(update(GatewayNodeRow).values(
            seen=clock.now() - timedelta(seconds=60)))


def test_a_dead_node_is_forgotten_and_a_living_one_is_not(store: Store) -> None:
    """Audited; one that lives after all is there with its next sign."""
    author, now = Author("ann", "switched off"), clock.now()
    edge = gateway_nodes.join(store, EDGE)
    assert gateway_nodes.sign(store, edge, READY)
    with pytest.raises(Refused, match="edge-1 was not forgotten because it is alive"):
        gateway_nodes.forget(store, "shop", "edge-1", author, now=now)
    silence(store)
    assert gateway_nodes.fleet(store, "shop").silent
    gateway_nodes.forget(store, "shop", "edge-1", author, now=now)
    assert gateway_nodes.fleet(store, "shop").nodes == ()
    forgotten, = audit.of_kind(store, "shop", "gateway_node.forgotten")
    assert (forgotten.actor, forgotten.data["node"], forgotten.data["version"]) == (
        "ann", "edge-1", 7)
    with pytest.raises(InvalidInput, match="shop has no gateway node edge-1"):
        gateway_nodes.forget(store, "shop", "edge-1", author, now=now)
    assert gateway_nodes.sign(store, edge, READY)
    assert [each.name for each in gateway_nodes.fleet(store, "shop").live] == ["edge-1"]
    assert audit.verify(store, "shop") == []


def test_a_node_that_has_something_to_tell_is_not_forgotten(store: Store) -> None:
    """Its rollback is everyone's."""
    edge = gateway_nodes.join(store, EDGE)
    assert gateway_nodes.sign(store, edge, replace(READY, own_moves=(MOVE,)))
    silence(store)
    with pytest.raises(Refused, match="is not recorded yet"):
        gateway_nodes.forget(store, "shop", "edge-1", Author("ann", "gone"), now=clock.now())
