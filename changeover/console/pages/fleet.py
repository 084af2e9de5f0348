"""How the migrations of a store are listed: those that need somebody first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from changeover.console.pages.words import clock_time
from changeover.domain.health import Heartbeat
from changeover.domain.rollout import Cutover, StageRecord, StageStatus
from changeover.domain.routing import Mode
from changeover.domain.time_words import about
from changeover.plan.model import Plan

SILENT_AFTER = timedelta(seconds=30)
"""Services give a sign of life every few seconds."""
GONE_AFTER = timedelta(days=7)
"""A service that was silent for so long was ended by somebody."""


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
    known = [each for each in beats if now - each.at < GONE_AFTER]
    silent = [each for each in known if now - each.at > SILENT_AFTER]
    if not known:
        return Services("none has run of late", "")
    if not silent:
        return Services(", ".join(each.service for each in known), "pass")
    newest = max(each.at for each in silent)
    names = ", ".join(each.service for each in silent)
    # all of them together: `changeover up` was ended, or its machine
    who = "all" if len(silent) == len(known) else names
    return Services(f"{who} silent since {newest:%Y-%m-%d} {clock_time(newest)}", "fail")


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
