"""The main gateway's row: what it serves and where its pages are, for those who are elsewhere."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.health import Heartbeat
from changeover.errors import InvalidInput, Refused
from changeover.store import audit, gateway_nodes, heartbeats, main_gateways
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity, Sign
from changeover.store.heartbeats import HeartbeatRow
from changeover.store.main_gateways import MainGatewayRow, MainSign

SAID = MainSign("http://10.0.0.1:8100", (1, 7), "", {"ui_url": "http://prefect.example"})
BY = Author("alice", "its machine is gone")


def silence(store: Store) -> None:
    """Have the main gateway's last sign be of a minute ago."""
    with store.begin() as session:
        session.execute(update(MainGatewayRow).values(seen=clock.now() - timedelta(minutes=1)))


def test_it_is_known_beside_the_nodes_once_it_gave_a_sign(store: Store) -> None:
    """Before, nobody waits for it: there may be no main machine."""
    edge = gateway_nodes.join(store, Identity("shop", "edge-1", "its home", "10.0.0.2:8100"))
    gateway_nodes.sign(store, edge, Sign(NodeState.READY, (1, 6), 1_700_000_000))
    assert main_gateways.find(store, "shop") is None
    main_gateways.sign(store, "shop", SAID)
    found = main_gateways.all_gateways(store, "shop")
    assert found.text((1, 7)) == (
        "1 of 2 gateways confirmed, edge-1 still serves version 6 (epoch 1)")
    assert [each.name for each in gateway_nodes.fleet(store, "shop").nodes] == ["edge-1"]
    assert main_gateways.pages(store, "shop") == {"ui_url": "http://prefect.example"}


def test_one_that_is_no_more_is_forgotten_and_one_that_lives_is_not(store: Store) -> None:
    """Who forgot it, and what it served, is in the audit."""
    with pytest.raises(InvalidInput, match="no main gateway"):
        main_gateways.forget(store, "shop", BY, now=clock.now())
    main_gateways.sign(store, "shop", SAID)
    with pytest.raises(Refused, match="it is alive"):
        main_gateways.forget(store, "shop", BY, now=clock.now())
    silence(store)
    main_gateways.forget(store, "shop", BY, now=clock.now())
    assert main_gateways.find(store, "shop") is None
    event = list(audit.events(store, "shop"))[-1]
    assert (event.kind, event.data["node"], event.data["version"]) == (
        "gateway_node.forgotten", "main", 7)


def test_a_process_learns_from_its_next_sign_that_another_one_has_its_place(store: Store) -> None:
    """One that stood still while its flow run was started on another machine."""
    first = Heartbeat("flow:1", clock.now(), 7, "1.00", "here")
    heartbeats.beat(store, "flow:1", pid=7, detail="1.00", machine="here", now=first.at)
    assert heartbeats.beat_again(store, first, now=clock.now())
    with store.begin() as session:
        session.execute(delete(HeartbeatRow))  # the database was restored
    assert heartbeats.beat_again(store, first, now=clock.now())
    heartbeats.beat(store, "flow:1", pid=7, detail="1.00", machine="there", now=clock.now())
    assert not heartbeats.beat_again(store, first, now=clock.now())
    assert heartbeats.every(store)[0].machine == "there"
