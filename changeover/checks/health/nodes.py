"""Health of the gateways on other machines: whether each is alive and serves the present state."""

from __future__ import annotations

from collections.abc import Iterable

from changeover.checks.health.result import Health
from changeover.domain.gateway_nodes import Fleet
from changeover.domain.health import Status
from changeover.site.site import Site
from changeover.store import gateway_nodes, routing


def gateway_nodes_of(site: Site) -> Health:
    """Compare what nodes serve with the routing state; well while there are none.

    The worst first: one that serves an earlier version and is silent gives users what was decided
    long ago, and nobody can reach it.
    """
    state = routing.read(site.store, site.migration)
    fleet = gateway_nodes.fleet(site.store, site.migration)
    if not fleet.counted:
        return Health(Status.HEALTHY, "there are no other gateways")
    counts = {"nodes": len(fleet.counted), "alive": len(fleet.live)}
    return Health(_status(fleet, state.order), fleet.text(state.order), counts)


def shadow_of_nodes(site: Site, services: Iterable[str]) -> list[str]:
    """Return the shadow services of nodes that serve users, of those that gave a sign of life.

    Args:
        site: The migration.
        services: Names of services, as `shadow edge-1`.
    """
    there = {node.name for node in gateway_nodes.fleet(site.store, site.migration).counted}
    return [each for each in services
            if each.startswith("shadow ") and each.removeprefix("shadow ") in there]


def idle_nodes(site: Site) -> list[str]:
    """Return the nodes that serve users, were asked to compare and say that they do not."""
    fleet = gateway_nodes.fleet(site.store, site.migration)
    return [node.name for node in fleet.counted if node.compares_nothing]


def _status(fleet: Fleet, order: tuple[int, int]) -> Status:
    if fleet.lost(order) or any(node.is_apart(order) for node in fleet.counted):
        return Status.CRITICAL
    if fleet.silent:
        return Status.UNHEALTHY
    # a live one takes a new version within a second
    has_problem = any(node.problem for node in fleet.counted)
    return Status.WARNING if fleet.behind(order) or has_problem else Status.HEALTHY
