"""The gateways that follow the store by themselves: whether all of them serve a routing state.

On the main machine these are the gateway nodes. Elsewhere (a flow on another machine, a spare
observer) the main machine's gateway is one of them. Who publishes only waits, a moment, until they
say so. A main machine without nodes costs one small query, and nobody is waited for.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.gateway_nodes import MAIN, Fleet, not_heard_of
from changeover.domain.routing import Mode, RoutingState
from changeover.errors import PublishFailed, StoreError
from changeover.site.site import Site
from changeover.store import gateway_nodes, main_gateways, samples

PATIENCE_SECONDS = 3.5
"""Longer than a node that fell silent counts as live: then it is named, and not waited for."""
ROLLBACK_SECONDS = 1.0
"""A rollback goes on sooner: what follows it must not wait for one machine that stands still."""
POLL_SECONDS = 0.02
NOBODY = "any gateway"


def confirm(site: Site, state: RoutingState, *, is_urgent: bool = False) -> str:
    """Wait until every live gateway elsewhere serves a state; return what is to be said of it.

    Those that were not heard of are named and not waited for: they serve what they had.

    Args:
        site: The migration.
        state: What is to be served, or something later.
        is_urgent: Whether users go back, a part of them too: then nobody is waited for longer than
            in a rollback of everyone.

    Returns:
        As `4 of 5 nodes confirmed, edge-3 not heard of since 12:00:03 UTC`; empty without nodes.

    Raises:
        PublishFailed: A live one does not serve it in time, or there is none and no gateway here.
        StoreError: The store cannot be read.
    """
    is_rollback = is_urgent or state.mode is Mode.EMERGENCY_ROLLBACK
    seconds = ROLLBACK_SECONDS if is_rollback else PATIENCE_SECONDS
    fleet = _await(site, state, time.monotonic() + seconds)
    where = f"version {state.version} (epoch {state.epoch})"
    if not fleet.live and not site.gateway.is_here:
        raise _nobody(fleet, state, where)
    if not fleet.counted:
        return ""
    text = fleet.text(state.order)
    if fleet.behind(state.order):
        raise PublishFailed(
            text, where=where,
            next_step="A gateway that works takes it within a second; see `changeover status`")
    return text


def _nobody(fleet: Fleet, state: RoutingState, where: str) -> PublishFailed:
    known = fleet.text(state.order) if fleet.counted else "none was ever heard of"
    return PublishFailed(
        f"no gateway confirmed it: {known}", where=where,
        next_step="There is no gateway on this machine: start `changeover up` or `changeover "
        "gateway` where users are; it takes the newest state from the store")


def gateways(site: Site) -> Fleet:
    """Return the gateways that are not on this machine: nodes, and elsewhere the main one.

    Raises:
        StoreError: The store cannot be read.
    """
    if site.gateway.is_here:
        return gateway_nodes.fleet(site.store, site.migration)
    return main_gateways.all_gateways(site.store, site.migration)


def measured_until(site: Site) -> dict[str, datetime | None]:
    """Return until when each gateway's measurements are in the store; None before its first.

    By words for the gateway: the main one, where there is one, and each node that lives. A silent
    one may have counted what nobody knows; see `silent`.

    Raises:
        StoreError: The store cannot be read.
    """
    fleet = gateways(site)
    found: dict[str, datetime | None] = {}
    if site.gateway.is_here or any(each.name == MAIN for each in fleet.nodes):
        found["the main gateway"] = samples.measured_until(
            site.store, site.migration, gateway=MAIN_GATEWAY)
    for node in fleet.live:
        if node.name == MAIN:
            continue
        # one that was started again reads first what its Envoy did meanwhile
        reached = node.measured_until
        found[f"gateway node {node.name}"] = clock.from_timestamp(reached) if reached else None
    # nobody who measures is not the same as everybody has
    return found or {NOBODY: None}


def silent(site: Site) -> str:
    """Return which gateways were not heard of lately, and since when; empty when all were.

    What they measured since is not in the store: nothing that cannot be undone is decided then.

    Raises:
        StoreError: The store cannot be read.
    """
    fleet = gateways(site)
    return ", ".join(f"{node.label} {not_heard_of(node, fleet.now)}" for node in fleet.silent)


def silent_notes(site: Site) -> tuple[str, ...]:
    """Return what people who moved users must know of gateways that were not waited for."""
    # users are moved: that must be said also when the store is away by now
    with contextlib.suppress(StoreError):
        if names := silent(site):
            return (f"not waited for: {names}; users there may be where they were",)
    return ()


def main_lags(site: Site, state: RoutingState) -> bool:
    """Whether there is a main gateway elsewhere that may serve an earlier state.

    Raises:
        StoreError: The store cannot be read.
    """
    main = None if site.gateway.is_here else main_gateways.find(site.store, site.migration)
    return main is not None and main.order < state.order


def _await(site: Site, state: RoutingState, deadline: float) -> Fleet:
    while True:
        fleet = gateways(site)
        if not fleet.behind(state.order) or time.monotonic() >= deadline:
            return fleet
        time.sleep(POLL_SECONDS)


def lost(site: Site, state: RoutingState) -> str:
    """Return which gateways may serve an earlier state, and why; empty when none does.

    Raises:
        StoreError: The store cannot be read.
    """
    fleet = gateways(site)
    if fleet.behind(state.order) or fleet.lost(state.order):
        return fleet.text(state.order)
    return ""
