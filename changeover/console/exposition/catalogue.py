"""All families of `/metrics`, and the functions that fill them."""

from __future__ import annotations

from changeover.console.exposition import (
    applications,
    checks,
    comparing,
    cutover,
    nodes,
    routing,
    services,
    traffic,
    triggers,
)

PARTS = (services, routing, nodes, cutover, checks, triggers, traffic, comparing, applications)
FAMILIES = tuple(family for part in PARTS for family in part.FAMILIES)
