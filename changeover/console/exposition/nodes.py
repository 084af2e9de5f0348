"""Gateways on other machines: which are alive, and what they serve."""

from __future__ import annotations

from changeover.console.exposition.family import Bound, Family, Scrape
from changeover.console.exposition.scene import Scene
from changeover.store import gateway_nodes

_NODE = Bound("gateway node that has not gone", 50)
ALIVE = Family(
    "gateway_node_alive", "1 while a gateway node gives signs of life.", ("node",), _NODE)
AGE = Family(
    "gateway_node_age_seconds", "Since a gateway node's last sign of life.", ("node",), _NODE)
VERSION = Family(
    "gateway_node_served_version", "Version of the routing state that a gateway node said it "
    "serves; absent before its first.", ("node",), _NODE)
IN_SYNC = Family(
    "gateway_node_in_sync", "1 when that is the present one, or a later one.", ("node",), _NODE)
FAMILIES = (ALIVE, AGE, VERSION, IN_SYNC)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add the nodes that have not gone."""
    fleet = gateway_nodes.fleet(scene.store, scene.migration)
    for node in fleet.nodes:
        scrape.add(ALIVE, not node.is_silent(fleet.now), node.name)
        scrape.add(AGE, max(0.0, (fleet.now - node.seen).total_seconds()), node.name)
        scrape.add(VERSION, node.version, node.name)
        scrape.add(IN_SYNC, node.serves_version(scene.state.order), node.name)
