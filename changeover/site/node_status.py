"""The gateway nodes of a migration, as JSON-able mappings and as text."""

from __future__ import annotations

from typing import Any

from changeover.domain.gateway_nodes import as_data
from changeover.domain.routing import RoutingState
from changeover.store import gateway_nodes
from changeover.store.engine import Store


def collect(store: Store, state: RoutingState) -> list[dict[str, Any]]:
    """Return the nodes on other machines, by name; empty without any.

    Keys: `name`, `address`, `state`, `epoch` and `version` that it serves (or null), `is_current`
    (it serves the present routing state), `is_silent`, `seen` (ISO 8601), `age_seconds` since then,
    `problem`, `text`.
    """
    return as_data(gateway_nodes.fleet(store, state.migration), state.order)


def lines(nodes: list[dict[str, Any]]) -> list[str]:
    """Return a line for each node."""
    return [f"gateway node {each['name']} ({each['address']}): {each['text']}" for each in nodes]
