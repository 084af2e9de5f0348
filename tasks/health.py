"""Health checks and repair: every check's result is kept, whatever the others do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from changeover import clock
from changeover.checks.health.checks import checks_of, examine
from changeover.checks.health.repair import GOOD, repair_all
from changeover.checks.health.result import Health, worst
from changeover.domain.health import HealthResult, Status
from changeover.domain.messages import Severity
from changeover.procedures.notices import notify
from changeover.site.site import Site
from changeover.store import health_results
from tasks.steps import step

Findings = dict[str, Health]
"""What each check found, by its name."""


@dataclass(frozen=True, slots=True)
class Row:
    """A check's result for people; `repair` says what was done about it."""

    check: str
    status: Status
    detail: str
    repair: str

    def as_cells(self) -> dict[str, str]:
        """Return the row of a table."""
        return {**asdict(self), "status": str(self.status)}


@step(name="check health")
def check_health(site: Site) -> list[Row]:
    """Run every check, repair what may be repaired, and return the results, worst first.

    The findings are kept before anything is repaired, so that no repair can lose them.
    """
    at = clock.now()
    checks = checks_of(site)
    found = examine(checks)
    _save(site, at, found, {})
    repaired = repair_all(site, found, checks)
    if repaired:
        # what was repaired is shown as it is after that, and saved over what was found
        for name, health in list(found.items()):
            found[name] = _after(health, repaired.get(name, ""))
        _save(site, at, found, repaired)
    notify_of_bad(site, found, repaired)
    return _rows(found, repaired)


def worst_status(rows: list[Row]) -> Status:
    """Return the worst status of all checks."""
    return worst(row.status for row in rows)


def _rows(found: Findings, repaired: dict[str, str]) -> list[Row]:
    order = list(Status)
    rows = []
    for name, health in found.items():
        done = repaired.get(name, "")
        rows.append(Row(name, health.status, health.detail, done))
    return sorted(rows, key=lambda row: -order.index(row.status))


def _after(health: Health, repair: str) -> Health:
    """Return a finding as it is after its repair: one that worked leaves a warning."""
    # `repaired ` stands before what worked; all else says why nothing was done
    is_repaired = repair.startswith("repaired ") and health.status not in GOOD
    if not is_repaired:
        return health
    detail = f"was {health.status}: {health.detail}"
    return replace(health, status=Status.WARNING, detail=detail)


def _save(site: Site, at: datetime, found: Findings, repaired: dict[str, str]) -> None:
    results = []
    for name, health in found.items():
        data = dict(health.data)
        if name in repaired:
            data["repair"] = repaired[name]
        results.append(HealthResult(
            migration=site.migration, at=at, check=name,
            status=health.status, detail=health.detail, data=data))
    health_results.save(site.store, results)


def notify_of_bad(site: Site, found: Findings, repaired: dict[str, str]) -> None:
    """Notify about checks that are bad still, about each again only after a while.

    What is critical is a critical message. What a repair could be about (memory that runs out, a
    node that is slow) is a warning before it is critical.
    """
    for name, health in found.items():
        is_critical = health.status in (Status.CRITICAL, Status.ERROR)
        has_issue = health.status is not Status.HEALTHY and health.issue is not None
        is_mended = health.status in GOOD and name in repaired
        if is_mended or not (is_critical or has_issue):
            continue
        body = "; ".join(filter(None, (health.detail, repaired.get(name, ""))))
        severity = Severity.CRITICAL if is_critical else Severity.WARNING
        # said again while it lasts, but not with every check; that it is worse is said at once
        notify(site, f"health of {site.migration}: {name}", body, severity,
               key=f"health {name} {severity}", is_once=False)
