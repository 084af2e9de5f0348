"""The gateway nodes of a migration: whether all of them serve a routing state.

They follow the store by themselves. Who publishes only waits, a moment, until they say so. A
migration without nodes costs one small query, and nobody is waited for.
"""

from __future__ import annotations

import time
from datetime import datetime

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.gateway_nodes import Fleet, not_heard_of
from changeover.domain.routing import Mode, RoutingState
from changeover.errors import PublishFailed
from changeover.site.site import Site
from changeover.store import gateway_nodes, samples

PATIENCE_SECONDS = 3.5
"""Longer than a node that fell silent counts as live: then it is named, and not waited for."""
ROLLBACK_SECONDS = 1.0
"""A rollback goes on sooner: what follows it must not wait for one machine that stands still."""
POLL_SECONDS = 0.02


def confirm(site: Site, state: RoutingState, *, is_urgent: bool = False) -> str:
    """Wait until every live node serves a state or a later one; return what is to be said of it.

    Nodes that were not heard of are named and not waited for: they serve what they had.

    Args:
        site: The migration.
        state: What is to be served.
        is_urgent: Whether users go back, a part of them too: then nobody is waited for longer than
            in a rollback of everyone.

    Returns:
        As `4 of 5 nodes confirmed, edge-3 not heard of since 12:00:03 UTC`; empty without nodes.

    Raises:
        PublishFailed: A live node does not serve it in time.
        StoreError: The store cannot be read.
    """
    is_rollback = is_urgent or state.mode is Mode.EMERGENCY_ROLLBACK
    seconds = ROLLBACK_SECONDS if is_rollback else PATIENCE_SECONDS
    fleet = _await(site, state, time.monotonic() + seconds)
    if not fleet.counted:
        return ""
    text = fleet.text(state.order)
    if fleet.behind(state.order):
        raise PublishFailed(
            text, where=f"version {state.version} (epoch {state.epoch})",
            next_step="A node that works takes it within a second; see `changeover status`")
    return text


def measured_until(site: Site) -> dict[str, datetime | None]:
    """Return until when each gateway's measurements are in the store; None before its first.

    By words for the gateway: the main one, and each node that lives. A silent one may have counted
    what nobody knows; see `silent`.

    Raises:
        StoreError: The store cannot be read.
    """
    found = {"the main gateway": samples.measured_until(
        site.store, site.migration, gateway=MAIN_GATEWAY)}
    for node in gateway_nodes.fleet(site.store, site.migration).live:
        # one that was started again reads first what its Envoy did meanwhile
        reached = node.measured_until
        found[f"gateway node {node.name}"] = clock.from_timestamp(reached) if reached else None
    return found


def silent(site: Site) -> str:
    """Return which nodes were not heard of lately, and since when; empty when all were.

    What they measured since is not in the store: nothing that cannot be undone is decided then.

    Raises:
        StoreError: The store cannot be read.
    """
    fleet = gateway_nodes.fleet(site.store, site.migration)
    return ", ".join(f"{node.name} {not_heard_of(node, fleet.now)}" for node in fleet.silent)


def _await(site: Site, state: RoutingState, deadline: float) -> Fleet:
    while True:
        fleet = gateway_nodes.fleet(site.store, site.migration)
        if not fleet.behind(state.order) or time.monotonic() >= deadline:
            return fleet
        time.sleep(POLL_SECONDS)


def lost(site: Site, state: RoutingState) -> str:
    """Return which nodes may serve an earlier state, and why; empty when none does.

    Raises:
        StoreError: The store cannot be read.
    """
    fleet = gateway_nodes.fleet(site.store, site.migration)
    if fleet.behind(state.order) or fleet.lost(state.order):
        return fleet.text(state.order)
    return ""
