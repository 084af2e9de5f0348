"""Health checks and repair: every check's result is kept, whatever the others do."""

from __future__ import annotations

from changeover import clock
from changeover.health.checks import Patient, checks_of, examine
from changeover.health.repair import GOOD, attempt_repair
from changeover.health.result import Status, worst
from changeover.store import messages, operations
from changeover.store.records import HealthResult
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step

Row = dict[str, str]
"""`check`, `status`, `detail` and `repair`: what was done about it."""


@step(name="check health")
def check_health(migration: str) -> list[Row]:
    """Run every check, repair what may be repaired, and keep the results.

    Returns:
        One row for each check, worst first.
    """
    runtime, at = runtime_of(migration), clock.now()
    patient = Patient(runtime.home, runtime.plan, runtime.store)
    checks = checks_of(patient)
    found = examine(checks)
    repairs = {
        name: attempt_repair(patient, name, health, checks[name])
        for name, health in found.items() if health.issue and health.status not in GOOD
    }
    operations.save_health(runtime.store, [
        HealthResult(
            migration=migration, at=at, check=name, status=str(health.status),
            detail=health.detail,
            data={**health.data, **({"repair": repairs[name]} if repairs.get(name) else {})})
        for name, health in found.items()
    ])
    for name, health in found.items():
        if health.status in (Status.CRITICAL, Status.ERROR):
            _tell(runtime, name, health.detail)
    ordered = sorted(found.items(), key=lambda pair: -list(Status).index(pair[1].status))
    return [{"check": name, "status": str(health.status), "detail": health.detail,
             "repair": repairs.get(name, "")} for name, health in ordered]


def worst_status(rows: list[Row]) -> str:
    """Return the worst status of all checks."""
    return str(worst(Status(row["status"]) for row in rows))


def _tell(runtime: Runtime, name: str, detail: str) -> None:
    if runtime.plan.notify:
        messages.put(
            runtime.store, runtime.migration, key=f"health {name}", severity="critical",
            title=f"health of {runtime.migration}: {name}", body=detail, now=clock.now())
