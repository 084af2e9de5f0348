"""How the hooks of stages stand, and what synthetic load runs: for people and programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.domain.procedures import StepStatus, of_cutover
from changeover.domain.rollout import Cutover
from changeover.store import heartbeats, steps
from changeover.store.engine import Store

FRESH = timedelta(seconds=20)
"""The load service gives a sign of life every five seconds; what is older runs no more."""


def collect(
    store: Store, migration: str, cutover: Cutover | None, *, now: datetime
) -> dict[str, Any]:
    """Return the keys of the status about hooks: `hooks` and `load`."""
    return {"hooks": hooks(store, cutover), "load": load(store, migration, now=now)}


def hooks(store: Store, cutover: Cutover | None) -> list[dict[str, Any]]:
    """Return the hooks of a cutover that have begun, in order.

    Keys: `stage`, `hook` (its place: `before gradual-25 hook 1`), `does` (`lever scale_up`),
    `status` (`begun`, `done`, `failed`, `undone`), `detail`, `at`.
    """
    if cutover is None:
        return []
    known = steps.all_of(store, cutover.migration, of_cutover(cutover.id))
    undone = {each.name for each in known if each.status is StepStatus.DONE}
    found = []
    for step in sorted(known, key=lambda each: each.started_at):
        if "hook" not in step.data:
            continue
        status = str(step.status)
        if f"undo {step.name}" in undone:
            status = "undone"
        found.append({
            "stage": step.data["stage"], "hook": step.name,
            "does": step.data["hook"], "status": status,
            "detail": step.detail, "at": step.started_at.isoformat()})
    return found


def load(store: Store, migration: str, *, now: datetime) -> str:
    """Return what synthetic load runs and what came of it so far; empty when none does."""
    for beat in heartbeats.of(store, migration):
        if beat.service == "load" and now - beat.at < FRESH:
            return beat.detail
    return ""


def lines(status: dict[str, Any]) -> list[str]:
    """Return both for people, from the status."""
    found = []
    for each in status["hooks"]:
        line = f"  hook {each['hook']}: {each['does']} {each['status']}"
        # what went well needs no words
        if each["status"] == StepStatus.FAILED:
            line += f", {each['detail']}"
        found.append(line)
    if status["load"]:
        found.append(f"  synthetic load: {status['load']}")
    return found
