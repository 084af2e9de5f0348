"""What `/metrics` and the health check say of gateway nodes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from prometheus_client.core import Metric
from sqlalchemy import update

from changeover import clock
from changeover.checks.health.nodes import gateway_nodes_of
from changeover.console.exposition import nodes
from changeover.console.exposition.family import Scrape
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.health import Status
from changeover.store import gateway_nodes, routing
from changeover.store.engine import Store
from changeover.store.gateway_nodes import GatewayNodeRow, Identity, Sign

ONE = Identity("shop", "edge-1", "its home", "10.0.0.1:8100")
TWO = Identity("shop", "edge-2", "another home", "10.0.0.2:8100")


def join(store: Store, who: Identity, version: int = 0) -> None:
    who = gateway_nodes.join(store, who)
    assert gateway_nodes.sign(store, who, Sign(NodeState.READY, (0, version), 1_700_000_000))


def silence(store: Store, name: str, **values: Any) -> None:
    """Have a node's last sign of life be of a minute ago."""
    with store.begin() as session:
        session.execute(update(GatewayNodeRow).where(GatewayNodeRow.name == name).values(
            seen=clock.now() - timedelta(seconds=60), **values))


def scraped(store: Store) -> dict[tuple[str, str], float]:
    """Return the series of nodes by family and node."""
    scrape = Scrape("shop", nodes.FAMILIES)
    scene: Any = SimpleNamespace(
        store=store, migration="shop", state=routing.read(store, "shop"))
    nodes.collect(scene, scrape)
    found: list[Metric] = [each for each in scrape.metrics() if each.samples]
    return {(metric.name, sample.labels["node"]): sample.value
            for metric in found for sample in metric.samples}


def examined(store: Store) -> tuple[Status, str]:
    site: Any = SimpleNamespace(store=store, migration="shop")
    found = gateway_nodes_of(site)
    return found.status, found.detail


def test_nodes_have_series_and_those_that_have_gone_have_none(store: Store) -> None:
    """Whether it lives, what it serves, and whether that is the present state."""
    assert scraped(store) == {}
    version = routing.read(store, "shop").version
    join(store, ONE, version)
    join(store, TWO, version)
    silence(store, "edge-2", epoch=-1)
    found = scraped(store)
    assert found["changeover_gateway_node_alive", "edge-1"] == 1
    assert found["changeover_gateway_node_alive", "edge-2"] == 0
    assert found["changeover_gateway_node_in_sync", "edge-1"] == 1
    assert found["changeover_gateway_node_in_sync", "edge-2"] == 0
    assert found["changeover_gateway_node_served_version", "edge-1"] == version
    assert found["changeover_gateway_node_age_seconds", "edge-1"] < 30
    assert 59 < found["changeover_gateway_node_age_seconds", "edge-2"] < 90
    silence(store, "edge-2", state="gone")
    assert {node for _, node in scraped(store)} == {"edge-1"}


def test_the_health_check_names_the_worst_first(store: Store) -> None:
    """A silent node that serves an earlier version is critical."""
    version = routing.read(store, "shop").version
    assert examined(store) == (Status.HEALTHY, "there are no other gateways")
    join(store, ONE, version)
    assert examined(store) == (Status.HEALTHY, "1 of 1 nodes confirmed")
    join(store, TWO, version)
    silence(store, "edge-2")
    status, said = examined(store)
    assert status is Status.UNHEALTHY and "edge-2 not heard of since" in said
    silence(store, "edge-2", epoch=-1)
    assert examined(store)[0] is Status.CRITICAL


def test_a_node_that_rolled_back_by_itself_is_critical(store: Store) -> None:
    """Until everyone has gone back."""
    who = gateway_nodes.join(store, ONE)
    moved = Sign(NodeState.READY, (1, 9), 1_700_000_000, "its users are at the baseline because …")
    move = {"at": "2026-01-02T12:00:00+00:00", "epoch": 1, "version": 9, "reason": "slow"}
    assert gateway_nodes.sign(store, who, replace(moved, own_moves=(move,)))
    status, said = examined(store)
    assert status is Status.CRITICAL and "its users are at the baseline" in said
