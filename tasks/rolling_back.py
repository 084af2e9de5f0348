"""The rollback SOP's steps, each idempotent, timed, and safe to repeat after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import httpx
import psutil

from changeover import clock, rollback
from changeover.errors import ChangeoverError
from changeover.plan.metrics import METRICS, format_value
from changeover.routing import Mode
from changeover.store import operations, routing
from changeover.store.records import Rollback, RollbackStep
from tasks.levers import pull_lever
from tasks.runtime import Runtime, root_run_id, runtime_of
from tasks.steps import step

VERIFY_SECONDS = 20.0


@step(name="1 safe routes")
def move_to_baseline(
    migration: str, reason: str, severity: str, scope: str, rollback_id: int | None
) -> int:
    """Send everyone to the baseline; finds it done when the observer or a person did it.

    A rollback that a person ended with `recover` in the meantime is not begun again.

    Args:
        migration: Name of the migration.
        reason: What happened.
        severity: critical, high or medium.
        scope: all.
        rollback_id: The rollback to carry on, when step 1 was done before this run.

    Returns:
        The rollback's id.
    """
    runtime, began = runtime_of(migration), clock.now()
    known = _to_carry_on(runtime, rollback_id)
    state = routing.read(runtime.store, migration)
    if known is not None and (state.epoch, state.mode) != (known.epoch, Mode.EMERGENCY_ROLLBACK):
        detail = f"done before; since then {state.describe()}"
        _keep(runtime, known.id, 1, "safe routes", "done", detail, began)
        return known.id
    started = rollback.start(
        runtime.store, runtime.gateway, runtime.plan, reason=reason, severity=severity,
        scope=scope, actor="rollback/main", now=began,
    )
    status = "failed" if started.publication is None else "done"
    detail = started.problem or f"everyone is at the baseline: {started.state.describe()}"
    _keep(runtime, started.rollback.id, 1, "safe routes", status, detail, began)
    return started.rollback.id


def _to_carry_on(runtime: Runtime, rollback_id: int | None) -> Rollback | None:
    """Return the rollback that was given, or that this very run began before it was killed."""
    mine = str(root_run_id())
    for found in operations.rollbacks(runtime.store, runtime.migration):
        if found.id == rollback_id or (rollback_id is None and found.flow_run_id == mine):
            return found
    return None


@step(name="take over rollback")
def take_over(migration: str, rollback_id: int) -> None:
    """Note that this flow run carries the further steps."""
    operations.hand_over(
        runtime_of(migration).store, rollback_id, flow_run_id=str(root_run_id())
    )


@step(name="2 clean up")
def clean_up(migration: str, rollback_id: int) -> str:
    """Say which files of the candidate the plan wants cleaned; people remove them.

    Removing files needs declared roots and a quarantine; until then nothing is deleted here.
    """
    runtime = runtime_of(migration)
    patterns = runtime.plan.rollback.cleanup
    if not patterns:
        return _carry_out(runtime, rollback_id, 2, "clean up", lambda: "nothing to clean up")
    listed = ", ".join(patterns)
    began = clock.now()
    detail = f"a person must clean up {listed}: this version deletes no files"
    _keep(runtime, rollback_id, 2, "clean up", "failed", detail, began)
    return detail


@step(name="3 restore")
def restore(migration: str, rollback_id: int) -> str:
    """Pull the plan's restore levers in order; one that fails does not stop the others."""
    runtime = runtime_of(migration)

    def pull_all() -> str:
        names = runtime.plan.rollback.restore
        failed = [problem for name in names if (problem := pull_lever(runtime, name))]
        if failed:
            raise ChangeoverError("; ".join(failed), next_step="A person must do it")
        return f"pulled {', '.join(names)}" if names else "no lever to pull"

    return _carry_out(runtime, rollback_id, 3, "restore", pull_all)


@step(name="4 analysis")
def analyse(migration: str, rollback_id: int) -> dict[str, Any]:
    """Record what fired, the numbers before and after, and what users saw.

    Returns:
        The analysis, JSON-able.
    """
    runtime = runtime_of(migration)
    record = _record(runtime, rollback_id)
    before = {
        system: _numbers(runtime, system, record, minutes=-5)
        for system in ("baseline", "candidate")
    }
    firings = [
        firing for firing in operations.firings(
            runtime.store, migration, since=record.started_at - timedelta(minutes=5)
        )
    ]
    analysis = {
        "reason": record.reason,
        "severity": record.severity,
        "decided_by": record.actor,
        "before": before,
        "after": {"baseline": _numbers(runtime, "baseline", record, minutes=5)},
        "triggers": [{"trigger": f.trigger, "reason": f.reason} for f in firings],
        "machine": {
            "memory_percent": psutil.virtual_memory().percent,
            "cpu_percent": psutil.cpu_percent(0.1),
            "disk_percent": psutil.disk_usage(str(runtime.home.root)).percent,
        },
        "recommendation": "Mend the candidate, replay the failing requests against it, then "
        "`changeover recover` and start a new cutover from the first stage",
    }
    began = clock.now()
    _keep(runtime, rollback_id, 4, "analysis", "done", record.reason, began)
    return analysis


@step(name="5 verify")
def verify(migration: str, rollback_id: int) -> str:
    """See that the gateway serves the rollback and that the baseline is well."""
    runtime = runtime_of(migration)

    def look() -> str:
        deadline = time.monotonic() + VERIFY_SECONDS
        while problems := _problems(runtime):
            if time.monotonic() > deadline:
                raise ChangeoverError("; ".join(problems), next_step="A person must look")
            time.sleep(0.5)
        return "the gateway serves everyone from the baseline, and the baseline is well"

    return _carry_out(runtime, rollback_id, 5, "verify", look)


@step(name="close rollback")
def close(migration: str, rollback_id: int, analysis: dict[str, Any]) -> str:
    """Close the rollback; `needs_person` when a step failed.

    Returns:
        The status.
    """
    runtime = runtime_of(migration)
    failed = [s for s in operations.steps(runtime.store, rollback_id) if s.status != "done"]
    analysis = {**analysis, "a_person_must": [f"{s.name}: {s.detail}" for s in failed]}
    closed = operations.finish_rollback(
        runtime.store, rollback_id, status="needs_person" if failed else "completed",
        analysis=analysis, now=clock.now(),
    )
    return closed.status


def rollback_record(migration: str, rollback_id: int) -> Rollback:
    """Return the rollback's record."""
    return _record(runtime_of(migration), rollback_id)


def _problems(runtime: Runtime) -> list[str]:
    """Return why the rollback is not complete yet, one sentence each."""
    problems = []
    state = routing.read(runtime.store, runtime.migration)
    if state.mode in (Mode.GRADUAL, Mode.CANDIDATE_ONLY):
        problems.append(f"the routing state is {state.describe()}")
    try:
        served = runtime.gateway.served()
        if served != state.order:
            problems.append(f"the gateway serves {served}, not {state.order}")
    except ChangeoverError as error:
        problems.append(str(error))
    spec = runtime.plan.systems.baseline
    try:
        httpx.get(spec.url.rstrip("/") + spec.health,
                  timeout=spec.health_timeout.total_seconds()).raise_for_status()
    except httpx.HTTPError as error:
        problems.append(f"the baseline is not well ({type(error).__name__})")
    return problems


def _carry_out(
    runtime: Runtime, rollback_id: int, number: int, name: str, action: Callable[[], str]
) -> str:
    """Run a step once; keep its result, also when it failed, and go on."""
    known = {s.number: s for s in operations.steps(runtime.store, rollback_id)}
    if number in known and known[number].status == "done":
        return known[number].detail
    began = clock.now()
    try:
        detail, status = action(), "done"
    except ChangeoverError as error:
        detail, status = str(error), "failed"
    _keep(runtime, rollback_id, number, name, status, detail, began)
    return detail


def _keep(
    runtime: Runtime, rollback_id: int, number: int, name: str, status: str, detail: str,
    began: Any,
) -> None:
    operations.save_step(runtime.store, RollbackStep(
        rollback_id=rollback_id, number=number, name=name, status=status, detail=detail,
        started_at=began, ended_at=clock.now(),
    ))


def _record(runtime: Runtime, rollback_id: int) -> Rollback:
    return next(
        found for found in operations.rollbacks(runtime.store, runtime.migration)
        if found.id == rollback_id
    )


def _numbers(runtime: Runtime, system: str, record: Rollback, *, minutes: int) -> dict[str, Any]:
    """Return a system's figures in the minutes before (negative) or after the rollback."""
    edge = record.started_at
    start, end = sorted((edge, edge + timedelta(minutes=minutes)))
    window = runtime.metrics.window(system, start=start, end=min(end, clock.now()))
    shown = ("error_rate", "user_error_rate", "latency_p95", "up", "memory")
    figures = {name: format_value(METRICS[name], window.measure(name).value) for name in shown}
    return {"requests": window.requests, "errors": dict(asdict(window)["errors"]), **figures}
