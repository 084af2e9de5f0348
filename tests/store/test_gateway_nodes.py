"""A node's row in the store: made by its start, renewed by its signs of life."""

from __future__ import annotations

from sqlalchemy import delete, update

from changeover.domain.gateway_nodes import GatewayNode, NodeState
from changeover.store import gateway_nodes
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
