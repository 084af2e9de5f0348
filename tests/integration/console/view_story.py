"""What the pages of system health, flags and user experience show, also what is meant to harm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from changeover import clock
from changeover.analysis.window import GATEWAY, Sample
from changeover.domain.audit import Author
from changeover.domain.health import HealthResult, RepairRequest, Status
from changeover.domain.outcomes import Outcome
from changeover.domain.publications import Publication
from changeover.flags.state import FlagEdit
from changeover.plan.model import Plan
from changeover.store import (
    flags,
    health_results,
    heartbeats,
    outcomes,
    publications,
    repairs,
    samples,
)
from changeover.store.engine import Store

PARTS: Mapping[str, Any] = {
    "flags": {
        "limit": 6656,
        "warm": {"owner": "ana", "expires": "2020-01-31", "in_modes": {"shadow": "disabled"},
                 "rules": [{"segments": ["beta"], "variant": "enabled"},
                           {"percent": 25, "variant": "enabled"}]}},
    "rollback": {"safe_flags": {"warm": False}},
    "triggers": [{"name": "errors", "metric": "error_rate", "above": "10%", "for": "5s",
                  "segment": "beta", "action": "alert"}]}
"""Parts of a plan that these pages show."""


def fill(store: Store, plan: Plan, hostile: str) -> None:
    """Store something for every section and chart.

    Args:
        store: The store.
        plan: A plan with `PARTS`.
        hostile: Stands in every text that people and systems write.
    """
    check_health(store, plan.migration, hostile)
    change_flags(store, plan, hostile)
    report(store, plan.migration)
    now = clock.now()
    at = int(now.timestamp())
    samples.write(store, plan.migration, [
        Sample(GATEWAY, at - 20, requests=50, errors={f"http1.{hostile}": 3})])
    samples.write(store, plan.migration, [
        Sample("candidate", at - 120 - number, requests=30, user_errors=1,
               errors={"status_5xx": 1, "timeout": 1}, statuses={"200": 20, "404": 3, "500": 1},
               users={"answer": (3, 5, 9 + 2 * number)}) for number in range(20)])
    for version, error in ((1, ""), (2, f"the gateway refused {hostile}")):
        publications.save(store, Publication(
            plan.migration, 0, version, now, is_confirmed=not error, seconds=0.08, error=error))


def check_health(store: Store, migration: str, hostile: str) -> None:
    """Store two health checks of which one thing is bad, a repair, and signs of life."""
    now = clock.now()
    for ago in (90, 30):
        at = now - timedelta(seconds=ago)
        health_results.save(store, [
            HealthResult(migration, at, "memory", Status.HEALTHY, "21 % used", {"percent": 21.0}),
            HealthResult(migration, at, "disk", Status.CRITICAL, hostile, {"percent": 97.0}),
            HealthResult(migration, at, "prefect", Status.WARNING, "1 flow run is late")])
    heartbeats.beat(
        store, f"{migration}/observer", pid=1, detail=hostile, now=now - timedelta(minutes=3))
    begun = repairs.claim(store, migration, RepairRequest(
        "disk_full", "machine", 3, timedelta(seconds=10), timedelta(minutes=1)), now=now)
    repairs.finish(store, begun.id, is_good=False, detail=hostile, now=now)  # type: ignore[union-attr]


def change_flags(store: Store, plan: Plan, hostile: str) -> None:
    """Store the plan's flags, and a change of one by hand."""
    now = clock.now()
    flags.follow_plan(store, plan, now=now)
    flags.change(
        store, plan.migration, FlagEdit("limit", lambda _: 7000), Author("ann", hostile), now=now)


def report(store: Store, migration: str) -> None:
    """Store outcomes of both systems with a quality number."""
    batch = []
    for number in range(60):
        for system in ("baseline", "candidate"):
            batch.append(Outcome(
                f"{system}-{number}", system, number % 20 > 0, 0.4 + number / 100,
                {"confidence": 0.9}, ("beta",) if number % 3 else ()))
    outcomes.save(store, migration, batch, now=clock.now())
