"""The overview: for everyone who wants to know how the migration stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from changeover.console.pages import by_route, figures, marks, standing_triggers, traffic
from changeover.console.pages.charts import Chart
from changeover.console.pages.upcoming import stands, upcoming
from changeover.console.pages.view import Look, View
from changeover.domain.event_words import words_of
from changeover.domain.rollout import PASSED, StageStatus
from changeover.domain.routing import Mode
from changeover.domain.time_words import about
from changeover.plan.model import Stage
from changeover.site import status as status_of
from changeover.store import (
    approvals,
    audit,
    claims,
    cutovers,
    routing,
)
from changeover.store import (
    upcoming as order,
)

MOST_EVENTS = 15
PANELS = (traffic.REQUESTS, traffic.ERRORS, traffic.P95)


def collect(look: Look) -> dict[str, Any]:
    """Return what the overview's sections show."""
    site, now = look.site, look.now
    status = status_of.collect(site, now=now)
    state = routing.read(site.store, site.migration)
    following = _next_stage(look, status)
    return {
        "status": status, "state": state,
        "is_rolled_back": state.mode is Mode.EMERGENCY_ROLLBACK,
        "upcoming": upcoming(status, following.title if following else None, now),
        "rail": _rail(look, status),
        "asked_at": _asked_at(look) if status["waiting_for"] else None,
        "standings": figures.standings(status["gates"]),
        "triggers": standing_triggers.rows(look, status["triggers"]),
        "figures": figures.of_systems(look),
        "claims": claims.open_claims(site.store, site.migration, now=now),
        "events": _events(look),
    }


def charts(look: Look) -> Sequence[Chart]:
    """Return the overview's charts."""
    start = traffic.begin(look).timestamp()
    return [marks.share_chart(look, start), *traffic.charts(look, PANELS), *by_route.charts(look)]


VIEW = View(
    "overview", "Overview",
    ("banners", "now", "rail", "routes", "systems", "gates", "triggers", "decisions"),
    collect, charts)


def _next_stage(look: Look, status: dict[str, Any]) -> Stage | None:
    cutover = status["cutover"]
    if not cutover or cutover["status"] != "running":
        return None
    return order.next_stage(look.site.store, cutover["id"], look.site.plan)


def _rail(look: Look, status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every stage with how it stands: passed, current, to come."""
    known = {}
    if status["cutover"]:
        for record in cutovers.stages(look.site.store, status["cutover"]["id"]):
            known[record.key] = record
    steps = []
    for stage in look.site.plan.stages():
        entered = known.get(stage.key)
        step: dict[str, Any] = {
            "key": stage.key, "title": stage.title, "stands": "to come",
            "percent": stage.weight / 100, "detail": f"soak {about(stage.soak)}", "done": None,
            "approvers": stage.approvers, "hooks": stage.hooks.text}
        if entered is not None:
            step |= _passed(entered.status, entered.reason)
            if entered.status is StageStatus.SOAKING:
                step |= _soaking(status, entered.entered_at, entered.soak_until, look.now)
        steps.append(step)
    return steps


def _passed(status: StageStatus, reason: str) -> dict[str, Any]:
    found = "current"
    if status in PASSED:
        found = "done"
    if status is StageStatus.ROLLED_BACK:
        found = "rolled back"
    return {"stands": found, "detail": f"{status}".replace("_", " "), "reason": reason}


def _soaking(
    status: dict[str, Any], entered: datetime, until: datetime, now: datetime
) -> dict[str, Any]:
    whole, passed = until - entered, now - entered
    left = max(timedelta(0), until - now)
    said = [f"{gate['gate']}: {stands(gate['checks'])}" for gate in status["gates"]]
    done = 1.0 if whole <= timedelta(0) else min(1.0, max(0.0, passed / whole))
    return {"detail": f"soaks, {about(left)} left", "done": done, "says": said}


def _asked_at(look: Look) -> datetime | None:
    asked = approvals.open_for(look.site.store, look.migration)
    return asked.asked_at if asked else None


def _events(look: Look) -> list[dict[str, Any]]:
    titles = marks.titles_of(look)
    rows = []
    for event in audit.newest(look.site.store, look.migration, limit=MOST_EVENTS):
        rows.append({"event": event, "words": words_of(event, titles)})
    return rows
