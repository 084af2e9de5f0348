"""Health checks and repair: every check's result is kept, whatever the others do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from changeover import clock
from changeover.checks.health.checks import checks_of, examine
from changeover.checks.health.repair import GOOD, repair_all
from changeover.checks.health.result import Health, worst
from changeover.domain.health import HealthResult, Status
from changeover.domain.messages import Severity
from changeover.store import health_results, messages
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step

Row = dict[str, str]
"""`check`, `status`, `detail` and `repair`: what was done about it."""


@step(name="check health")
def check_health(migration: str) -> list[Row]:
    """Run every check, repair what may be repaired, and keep the results.

    The findings are kept before anything is repaired, so that no repair can lose them.

    Returns:
        One row for each check, worst first.
    """
    runtime, at = runtime_of(migration), clock.now()
    checks = checks_of(runtime.site)
    found = examine(checks)
    _keep(runtime, at, found, {})
    told = repair_all(runtime.site, found, checks)
    if told:
        found = {name: _after(health, told.get(name, "")) for name, health in found.items()}
        _keep(runtime, at, found, told)
    _tell(runtime, found, told)
    ordered = sorted(found.items(), key=lambda pair: -list(Status).index(pair[1].status))
    return [{"check": name, "status": str(health.status), "detail": health.detail,
             "repair": told.get(name, "")} for name, health in ordered]


def worst_status(rows: list[Row]) -> str:
    """Return the worst status of all checks."""
    return str(worst(Status(row["status"]) for row in rows))


def _after(health: Health, told: str) -> Health:
    """Return a finding as it is after its repair: one that worked leaves a warning."""
    is_repaired = told.startswith("repaired ") and health.status not in GOOD
    if not is_repaired:
        return health
    return replace(health, status=Status.WARNING, detail=f"was {health.status}: {health.detail}")


def _keep(
    runtime: Runtime, at: datetime, found: dict[str, Health], told: dict[str, str]
) -> None:
    health_results.save(runtime.store, [
        HealthResult(
            migration=runtime.migration, at=at, check=name, status=health.status,
            detail=health.detail,
            data={**health.data, **({"repair": told[name]} if name in told else {})})
        for name, health in found.items()
    ])


def _tell(runtime: Runtime, found: dict[str, Health], told: dict[str, str]) -> None:
    """Notify about checks that are still critical, about each again only after a while."""
    if not runtime.plan.notify:
        return
    for name, health in found.items():
        if health.status in (Status.CRITICAL, Status.ERROR):
            body = "; ".join(part for part in (health.detail, told.get(name, "")) if part)
            messages.put(
                runtime.store, runtime.migration, key=f"health {name}", severity=Severity.CRITICAL,
                title=f"health of {runtime.migration}: {name}", body=body, now=clock.now())
