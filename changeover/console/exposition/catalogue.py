"""All families of `/metrics`, and the functions that fill them."""

from __future__ import annotations

from changeover.console.exposition import (
    applications,
    checks,
    comparing,
    cutover,
    routing,
    services,
    traffic,
    triggers,
)

PARTS = (services, routing, cutover, checks, triggers, traffic, comparing, applications)
FAMILIES = tuple(family for part in PARTS for family in part.FAMILIES)
