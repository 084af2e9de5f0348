"""All migrations of a store on one list: where each is, and which needs somebody."""

from __future__ import annotations

from typing import Any

from changeover.console.pages.view import Look, View
from changeover.site import every_migration
from changeover.store import members

PLANS_SECONDS = 10.0
"""Plans are read and checked whole, and change seldom."""
KEPT_SECONDS = 1.5
PER_MIGRATION_SECONDS = 0.05
"""A hundred migrations take a third of a second to read: so many are looked at every five."""


def collect(look: Look) -> dict[str, Any]:
    """Return what the list shows."""
    now, store = look.now.timestamp(), look.site.store
    plans = look.kept.get("plans", PLANS_SECONDS, now, lambda: members.every_plan(store))
    good = max(KEPT_SECONDS, PER_MIGRATION_SECONDS * len(plans))
    rows = look.kept.get("migrations", good, now,
                         lambda: every_migration.rows(store, plans, now=look.now))
    # the address of another's console is known where its plan tells it
    listed = [{**row, "console": "/" if row["name"] == look.migration else row["public"]}
              for row in rows]
    return {"rows": listed, "totals": every_migration.totals(rows), "own": look.migration}


VIEW = View("migrations", "All migrations", ("totals", "list"), collect)
