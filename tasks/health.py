"""Health checks: each one a question with a status; one that breaks never hides another's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import psutil

from changeover import clock
from changeover.errors import ChangeoverError
from changeover.store import operations, routing
from changeover.store.records import HealthResult
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step

ORDER = ("healthy", "warning", "unhealthy", "critical", "error")
WARNING_PERCENT = 85.0
CRITICAL_PERCENT = 95.0
SILENT = timedelta(seconds=20)

Found = tuple[str, str, dict[str, Any]]


@step(name="check health")
def check_health(migration: str) -> list[dict[str, str]]:
    """Run every check, keep the results, and return them, worst first.

    Returns:
        One mapping per check: check, status, detail.
    """
    runtime = runtime_of(migration)
    at = clock.now()
    results = [_run(runtime, name, check, at) for name, check in CHECKS.items()]
    operations.save_health(runtime.store, results)
    results.sort(key=lambda result: -ORDER.index(result.status))
    return [{"check": r.check, "status": r.status, "detail": r.detail} for r in results]


def worst_status(results: list[dict[str, str]]) -> str:
    """Return the worst status of all checks."""
    return max((result["status"] for result in results), key=ORDER.index, default="error")


def _run(
    runtime: Runtime, name: str, check: Callable[[Runtime], Found], at: Any
) -> HealthResult:
    try:
        status, detail, data = check(runtime)
    except (ChangeoverError, OSError, httpx.HTTPError, psutil.Error) as error:
        status, detail, data = "error", f"{type(error).__name__}: {error}", {}
    return HealthResult(
        migration=runtime.migration, at=at, check=name, status=status, detail=detail, data=data
    )


def _of_percent(percent: float, what: str) -> Found:
    status = "critical" if percent > CRITICAL_PERCENT else (
        "warning" if percent > WARNING_PERCENT else "healthy")
    return status, f"{what} {percent:.0f} % used", {"percent": percent}


def _memory(_runtime: Runtime) -> Found:
    return _of_percent(psutil.virtual_memory().percent, "memory")


def _disk(runtime: Runtime) -> Found:
    return _of_percent(psutil.disk_usage(str(runtime.home.root)).percent, "disk")


def _system(name: str) -> Callable[[Runtime], Found]:
    def check(runtime: Runtime) -> Found:
        spec = runtime.plan.system(name)
        try:
            answer = httpx.get(spec.url.rstrip("/") + spec.health,
                               timeout=spec.health_timeout.total_seconds())
        except httpx.HTTPError as error:
            return "critical", f"{spec.name} does not answer ({type(error).__name__})", {}
        status = "healthy" if answer.is_success else "unhealthy"
        return status, f"{spec.name} answers {answer.status_code}", {"status": answer.status_code}

    return check


def _gateway(runtime: Runtime) -> Found:
    state = routing.read(runtime.store, runtime.migration)
    served = runtime.gateway.served()
    if served == state.order:
        return "healthy", f"serves {state.describe()}", {}
    return "critical", f"serves {served}, the routing state is {state.order}", {}


def _observer(runtime: Runtime) -> Found:
    silent = _silent(runtime, "observer")
    if silent:
        return "critical", f"the observer is silent {silent}: triggers are not watched", {}
    return "healthy", "the observer is alive", {}


def _shadow(runtime: Runtime) -> Found:
    if runtime.plan.shadow is None:
        return "healthy", "the plan has no shadow", {}
    silent = _silent(runtime, "shadow")
    if silent:
        return "unhealthy", f"the shadow service is silent {silent}: nothing is compared", {}
    return "healthy", "the shadow service is alive", {}


def _silent(runtime: Runtime, service: str) -> str:
    """Return since when a service gave no sign of life, or an empty text."""
    beats = {beat.service: beat for beat in operations.heartbeats(runtime.store)}
    beat = beats.get(service)
    if beat is not None and clock.now() - beat.at <= SILENT:
        return ""
    return f"since {beat.at:%H:%M:%S} UTC" if beat else "and never was there"


CHECKS: dict[str, Callable[[Runtime], Found]] = {
    "memory": _memory,
    "disk": _disk,
    "baseline": _system("baseline"),
    "candidate": _system("candidate"),
    "gateway": _gateway,
    "observer": _observer,
    "shadow": _shadow,
}
