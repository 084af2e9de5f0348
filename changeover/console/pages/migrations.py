"""All migrations of a store on one list: where each is, and which needs somebody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from changeover.console.pages import fleet
from changeover.console.pages.view import Look, View
from changeover.domain.approvers import rules_of
from changeover.domain.event_words import words_of
from changeover.domain.health import Heartbeat
from changeover.domain.rollout import CutoverStatus
from changeover.plan.model import Plan
from changeover.store import approvals, audit, cutovers, heartbeats, members, routing
from changeover.store.engine import Store

PLANS_SECONDS = 10.0
"""Plans are read and checked whole, and change seldom."""
KEPT_SECONDS = 1.5
PER_MIGRATION_SECONDS = 0.05
"""A hundred migrations take a third of a second to read: so many are looked at every five."""


def collect(look: Look) -> dict[str, Any]:
    """Return what the list shows."""
    now = look.now.timestamp()
    plans = look.kept.get(
        "plans", PLANS_SECONDS, now, lambda: members.every_plan(look.site.store))
    good = max(KEPT_SECONDS, PER_MIGRATION_SECONDS * len(plans))
    rows = look.kept.get("migrations", good, now, lambda: _rows(look, plans))
    return {"rows": rows, "totals": fleet.totals(rows), "own": look.migration}


VIEW = View("migrations", "All migrations", ("totals", "list"), collect)


def _rows(look: Look, plans: Sequence[Plan]) -> list[dict[str, Any]]:
    beats = fleet.by_migration(heartbeats.every(look.site.store))
    rows = []
    for plan in plans:
        rows.append(_row(look, plan, beats.get(plan.migration, [])))
    rows.sort(key=fleet.rank)
    return rows


def _row(look: Look, plan: Plan, beats: list[Heartbeat]) -> dict[str, Any]:
    store, name = look.site.store, plan.migration
    cutover = cutovers.latest(store, name)
    entered = cutovers.stages(store, cutover.id) if cutover else []
    return {
        "name": name, "state": routing.read(store, name), "cutover": cutover,
        "is_running": cutover is not None and cutover.status is CutoverStatus.RUNNING,
        "environment": plan.environment, "systems": plan.systems, "group": plan.group,
        "stage": fleet.stage_text(plan, cutover, entered[-1] if entered else None, look.now),
        "waits": _waits(store, plan), "last": _last(store, plan),
        "services": fleet.services(beats, look.now), "console": _console(look, plan),
    }


def _waits(store: Store, plan: Plan) -> dict[str, Any] | None:
    asked = approvals.open_for(store, plan.migration)
    if asked is None:
        return None
    may = rules_of(plan, asked.stage).text
    return {"stage": asked.stage, "since": asked.asked_at, "may": may,
            "agreed": approvals.agreed(store, asked, plan)}


def _last(store: Store, plan: Plan) -> dict[str, Any] | None:
    found = audit.newest(store, plan.migration, limit=1)
    if not found:
        return None
    titles = {stage.key: stage.title for stage in plan.stages()}
    return {"at": found[0].at, "actor": found[0].actor, "words": words_of(found[0], titles)}


def _console(look: Look, plan: Plan) -> str:
    """Return the address of a migration's console; empty where nobody has told it."""
    if plan.migration == look.migration:
        return "/"
    return plan.console.public
