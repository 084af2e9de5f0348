"""All families of `/metrics`, and the functions that fill them."""

from __future__ import annotations

from changeover.console.exposition import (
    applications,
    by_route,
    checks,
    comparing,
    cutover,
    nodes,
    routing,
    services,
    traffic,
    triggers,
)

PARTS = (
    services, routing, nodes, cutover, checks, triggers, traffic, by_route, comparing, applications)
FAMILIES = tuple(family for part in PARTS for family in part.FAMILIES)
