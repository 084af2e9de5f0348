"""The rollback SOP's steps, each idempotent, timed, and safe to repeat after a crash."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from changeover import cleanup, clock, rollback
from changeover.errors import ChangeoverError
from changeover.levers import pull_all
from changeover.plan.metrics import METRICS, format_value
from changeover.plan.units import format_duration
from changeover.routing import Mode
from changeover.store import cutovers, operations, routing
from changeover.store.records import Rollback, RollbackStep
from changeover.validation.http import value_at
from changeover.validation.saving import scene_of
from tasks.runtime import Runtime, root_run_id, runtime_of
from tasks.steps import step
from tasks.validating import Result

VERIFY_SECONDS = 20.0
MOST_TOLD = 20
LOG_BYTES = 1 << 20
_ERROR = re.compile(r"error|exception|traceback|critical|fatal|panic", re.IGNORECASE)


@step(name="1 safe flags and routes")
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
        _keep(runtime, known.id, 1, "safe flags and routes", "done", detail, began)
        return known.id
    started = rollback.start(
        runtime.store, runtime.gateway, runtime.plan, reason=reason, severity=severity,
        scope=scope, actor="rollback/main", now=began,
    )
    status = "failed" if started.publication is None else "done"
    detail = started.problem or f"everyone is at the baseline: {started.state.describe()}"
    _keep(runtime, started.rollback.id, 1, "safe flags and routes", status, detail, began)
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
    """Move the candidate's temporary files into quarantine; nothing else is ever touched."""
    runtime = runtime_of(migration)
    return _carry_out(runtime, rollback_id, 2, "clean up",
                      lambda: quarantine_files(runtime, f"rollback-{rollback_id}"))


def quarantine_files(runtime: Runtime, name: str) -> str:
    """Quarantine what the plan names, delete quarantines whose time is over, and say what was done.

    Raises:
        ChangeoverError: Something that matches was refused; a person must look at it.
    """
    spec = runtime.plan.rollback
    if not spec.cleanup:
        return "nothing to clean up"
    folder = scene_of(runtime.home, runtime.plan, runtime.store).folder
    found, moved = cleanup.quarantine(
        spec.roots, spec.cleanup, name=name, any_age=spec.any_age, base=folder,
        since=cleanup.candidate_start(runtime.home, runtime.store, runtime.migration),
        keep=[runtime.home.root])
    purged = cleanup.purge(spec.roots, older_than=spec.quarantine, now=clock.now(), base=folder)
    told = f"{len(moved)} files and folders are in quarantine for " \
        f"{format_duration(spec.quarantine)}; {len(purged)} older quarantines were deleted"
    if found.refused:
        refused = "; ".join(f"{each.path}: {each.reason}" for each in found.refused[:MOST_TOLD])
        raise ChangeoverError(f"{told}; {len(found.refused)} were left: {refused}",
                              next_step="A person must look at them")
    return told


@step(name="3 restore")
def restore(migration: str, rollback_id: int) -> str:
    """Pull the plan's restore levers in order; one that fails does not stop the others."""
    runtime = runtime_of(migration)

    def pull() -> str:
        names = runtime.plan.rollback.restore
        if failed := pull_all(
            runtime.store, runtime.plan, names, actor="rollback/main",
            occasion=f"rollback-{rollback_id} restore",
        ):
            raise ChangeoverError("; ".join(failed), next_step="A person must do it")
        return f"pulled {', '.join(names)}" if names else "no lever to pull"

    return _carry_out(runtime, rollback_id, 3, "restore", pull)


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
        "users_saw": _users_saw(runtime, record),
        "error_log": error_lines(runtime.home.logs / "candidate.log"),
        "recommendation": recommendation([f.evidence.get("metric", "") for f in firings]),
    }
    began = clock.now()
    _keep(runtime, rollback_id, 4, "analysis", "done", record.reason, began)
    return analysis


@step(name="5 verify")
def verify(migration: str, rollback_id: int, suite: Result | None) -> str:
    """See that nobody is on the candidate, the baseline well, queues empty, the suite passed.

    Args:
        migration: Name of the migration.
        rollback_id: The rollback.
        suite: What the plan's suite found, None when it names none.
    """
    runtime, began = runtime_of(migration), clock.now()

    def look() -> str:
        deadline = time.monotonic() + VERIFY_SECONDS
        while problems := _problems(runtime, began):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if suite is not None and suite["verdict"] != "pass":
            problems.append(f"suite {suite['suite']}: {suite['reason']}")
        if problems:
            raise ChangeoverError("; ".join(problems), next_step="A person must look")
        counted = runtime.metrics.window("baseline", start=began, end=clock.now()).requests
        return f"the gateway serves everyone from the baseline ({counted} requests counted there " \
            "since, none at the candidate), and the baseline is well"

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


def _problems(runtime: Runtime, began: datetime) -> list[str]:
    """Return why the rollback is not complete yet, one sentence each."""
    problems = _not_empty(runtime)
    still = runtime.metrics.window("candidate", start=began, end=clock.now()).requests
    if still:
        problems.append(f"the gateway sent {still} requests to the candidate since {began:%T} UTC")
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


def _not_empty(runtime: Runtime) -> list[str]:
    """Return one sentence for each queue that is not drained."""
    problems = []
    for queue in runtime.plan.rollback.queues:
        url = runtime.plan.system(queue.of).url.rstrip("/") + queue.path
        try:
            found = value_at(httpx.get(url, timeout=5, trust_env=False).json(), queue.value)
        except (httpx.HTTPError, ValueError) as error:
            problems.append(f"queue {queue.path} of the {queue.of} cannot be read "
                            f"({type(error).__name__})")
            continue
        if not isinstance(found, int | float) or found > queue.at_most:
            problems.append(f"queue {queue.path} of the {queue.of} has {found!r}, more than "
                            f"{queue.at_most}")
    return problems


def _users_saw(runtime: Runtime, record: Rollback) -> dict[str, Any]:
    """Return how many requests users made since the cutover began, and how many failed."""
    began = record.started_at - timedelta(minutes=5)
    if record.cutover_id is not None:
        began = cutovers.get(runtime.store, record.cutover_id).started_at
    windows = [runtime.metrics.window(system, start=began, end=clock.now())
               for system in ("baseline", "candidate")]
    return {"since": began.isoformat(), "requests": sum(w.requests for w in windows),
            "errors": sum(w.user_errors for w in windows),
            "saved_by_the_baseline": windows[1].errors.get("saved", 0)}


def error_lines(log: Path) -> list[str]:
    """Return the newest lines of a log that tell of errors; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line[:300] for line in lines if _ERROR.search(line)][-MOST_TOLD:]


def recommendation(metrics: list[str]) -> str:
    """Return what to do next, by the metrics of the triggers that fired."""
    causes = {
        "error_rate": "look at the candidate's errors in the log below and replay the requests "
        "that failed", "latency": "profile the candidate under the load of its last stage "
        "(`load` in a suite)", "memory": "run a `soak` check against the candidate: it may leak",
        "up": "find out why the candidate went away before it is started again",
        "similarity": "see `changeover divergences` for what differs",
    }
    named = [text for name, text in causes.items() if any(name in metric for metric in metrics)]
    first = "; ".join(named) or "find the cause in the gate's evidence and the candidate's log"
    return f"{first[0].upper()}{first[1:]}. When it is mended: suite staging, " \
        "`changeover recover`, and a new cutover from the first stage"


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
