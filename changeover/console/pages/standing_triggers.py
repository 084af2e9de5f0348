"""How the triggers stand, how near each is to firing, and when it fired last."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from changeover.console.pages.nearness import near_to
from changeover.console.pages.view import Look
from changeover.console.pages.words import parsed
from changeover.store import firings


def rows(look: Look, standings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the triggers as pages show them.

    Args:
        look: Of which migration.
        standings: As `site.trigger_status.triggers` returns them.
    """
    fired = {}
    since = look.now - timedelta(days=1)
    # oldest first: the newest of a trigger stays
    for each in firings.all_of(look.site.store, look.migration, since=since):
        fired[each.trigger] = each
    specs = {spec.name: spec for spec in look.site.plan.triggers}
    found = []
    for row in standings:
        near = near_to(specs[row["trigger"]], row)
        known = row["since"]
        found.append({**row, "near": near, "fired": fired.get(row["trigger"]),
                      "since": parsed(known) if known else None})
    return found
