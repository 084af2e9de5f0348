"""All migrations of a store on one list, those that need somebody first: page and command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from changeover.domain.approvers import rules_of
from changeover.domain.event_words import words_of
from changeover.domain.health import Heartbeat, is_forgotten
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Mode, RoutingState
from changeover.domain.time_words import about
from changeover.plan.model import Plan
from changeover.store import (
    approvals,
    audit,
    cutovers,
    gateway_nodes,
    heartbeats,
    members,
    routing,
)
from changeover.store.engine import Store

SILENT_AFTER = timedelta(seconds=30)
"""Services give a sign of life every few seconds."""
GONE_AFTER = timedelta(days=7)
"""A service that was silent for so long was ended by somebody."""


def rows(store: Store, plans: Sequence[Plan], *, now: datetime) -> list[dict[str, Any]]:
    """Return where each migration is, what needs a person first.

    Args:
        store: The store that they share.
        plans: Their plans.
        now: The present moment.
    """
    beats = by_migration(heartbeats.every(store))
    found = [_row(store, plan, beats.get(plan.migration, []), now) for plan in plans]
    return sorted(found, key=rank)


def _row(
    store: Store, plan: Plan, beats: Sequence[Heartbeat], now: datetime
) -> dict[str, Any]:
    name = plan.migration
    cutover, state = cutovers.latest(store, name), routing.read(store, name)
    entered = cutovers.stages(store, cutover.id) if cutover else []
    return {
        "name": name, "state": state, "cutover": cutover,
        "is_running": cutover is not None and cutover.status is CutoverStatus.RUNNING,
        "environment": plan.environment, "systems": plan.systems, "group": plan.group,
        "listen": plan.routing.listen, "public": plan.console.public,
        "stage": stage_text(plan, cutover, entered[-1] if entered else None, now),
        "waits": _waits(store, plan), "last": _last(store, plan),
        "services": services(beats, now), "nodes": _nodes(store, state),
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


def _nodes(store: Store, state: RoutingState) -> str:
    """Return how the gateways on other machines are; empty without any."""
    fleet = gateway_nodes.fleet(store, state.migration)
    return fleet.text(state.order) if fleet.counted else ""


def collect(store: Store, *, now: datetime) -> list[dict[str, Any]]:
    """Return where all migrations of a store are, what needs a person first, for programs.

    Keys: `migration`, `environment`, `group`, `listen`, `routing` (in words), `mode`, `percent`,
    `cutover` (its status, or null), `stage` (of a running cutover, in words), `waits` (`stage`,
    `since`, `may`, `agreed`, or null), `services`, `nodes` (in words), `console` (its address as
    the plan says it, or empty).
    """
    return [{
        "migration": row["name"], "environment": row["environment"],
        "group": row["group"].name if row["group"] else None, "listen": row["listen"],
        "routing": row["state"].describe(), "mode": str(row["state"].mode),
        # a weight is a number of buckets of 0.01 %
        "percent": row["state"].weight / 100,
        "cutover": str(row["cutover"].status) if row["cutover"] else None,
        "stage": row["stage"], "services": row["services"].text,
        "waits": row["waits"] and {**row["waits"], "since": row["waits"]["since"].isoformat()},
        "nodes": row["nodes"], "console": row["public"],
    } for row in rows(store, members.every_plan(store), now=now)]


def as_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return them for people."""
    number = len(found)
    lines = [f"{number} migration{'s' if number > 1 else ''}, what needs somebody first"]
    for each in found:
        lines += ["", f"{each['migration']} ({each['listen']}): {each['routing']}"]
        if each["cutover"]:
            stage = f", {each['stage']}" if each["stage"] else ""
            lines.append(f"  cutover {each['cutover']}{stage}")
        if waits := each["waits"]:
            may = f"; who may answer: {waits['may']}" if waits["may"] else ""
            since = waits["since"][:19].replace("T", " ")
            lines.append(f"  WAITS FOR PEOPLE about {waits['stage']} since {since} UTC{may}")
        lines.append(f"  services: {each['services']}")
        if each["nodes"]:
            lines.append(f"  gateway nodes: {each['nodes']}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Services:
    """How the services of a migration are.

    Args:
        text: For people.
        tone: Class of the chip: `pass`, `fail`, or empty where none runs.
    """

    text: str
    tone: str


def services(beats: Sequence[Heartbeat], now: datetime) -> Services:
    """Return how a migration's services are.

    Args:
        beats: Their last signs of life, by plain names.
        now: The present moment.
    """
    known = [each for each in beats
             if now - each.at < GONE_AFTER and not is_forgotten(each, now)]
    silent = [each for each in known if now - each.at > SILENT_AFTER]
    if not known:
        return Services("none has run of late", "")
    if not silent:
        return Services(", ".join(each.service for each in known), "pass")
    newest = max(each.at for each in silent)
    names = ", ".join(each.service for each in silent)
    # all of them together: `changeover up` was ended, or its machine
    who = "all" if len(silent) == len(known) else names
    return Services(f"{who} silent since {newest.astimezone(UTC):%F %T}", "fail")


def by_migration(beats: Sequence[Heartbeat]) -> dict[str, list[Heartbeat]]:
    """Return the signs of life of services by their migration, with plain names."""
    found: dict[str, list[Heartbeat]] = {}
    for each in beats:
        migration, slash, name = each.service.partition("/")
        # flow runs have no migration in their name
        if slash:
            plain = Heartbeat(name, each.at, each.pid, each.detail)
            found.setdefault(migration, []).append(plain)
    return found


def stage_text(
    plan: Plan, cutover: Cutover | None, stage: StageRecord | None, now: datetime
) -> str:
    """Return the newest stage of a running cutover and its soak; empty where none runs."""
    if cutover is None or cutover.status != "running":
        return ""
    if stage is None:
        return "prepares"
    titles = {each.key: each.title for each in plan.stages()}
    title = titles.get(stage.key, stage.key)
    if stage.status is not StageStatus.SOAKING:
        return f"{title}: {str(stage.status).replace('_', ' ')}"
    left = stage.soak_until - now
    if left <= timedelta(0):
        return f"{title}: its gates decide"
    return f"{title}: soaks, {about(left)} left"


def rank(row: Mapping[str, Any]) -> tuple[int, str]:
    """Return the place of a migration in the list: what needs a person comes first."""
    if row["waits"] is not None:
        place = 0
    elif row["state"].mode in (Mode.EMERGENCY_ROLLBACK, Mode.RETURNING):
        place = 1
    elif row["services"].tone == "fail" and row["is_running"]:
        place = 2
    else:
        place = 3 if row["is_running"] else 4
    return place, row["name"]


def totals(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    """Return what stands above the list: words, how many, and the class of what is urgent."""
    waiting = sum(row["waits"] is not None for row in rows)
    back = sum(row["state"].mode is Mode.EMERGENCY_ROLLBACK for row in rows)
    running = sum(row["is_running"] for row in rows)
    silent = sum(row["services"].tone == "fail" for row in rows)
    return [
        ("migrations", len(rows), ""), ("cutovers that run", running, ""),
        ("wait for people", waiting, "warn" if waiting else ""),
        ("rolled back", back, "bad" if back else ""),
        ("with silent services", silent, "bad" if silent else "")]
