"""What led to a rollback, and what it changed: figures, triggers, the log, a recommendation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from changeover import clock
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.errors import StoreError
from changeover.plan.metrics import METRICS, format_value
from changeover.procedures.steps import RollbackRun, broke
from changeover.procedures.verification import MEASURED, unmeasured
from changeover.site.site import Site
from changeover.store import cutovers, firings, health_results

MOST_TOLD = 20
LOG_ELSEWHERE = "not read: this ran on another machine than the candidate's log"
LOG_BYTES = 1 << 20
"""Of the log's end: an error storm writes gigabytes."""
_ERROR = re.compile(r"error|exception|traceback|critical|fatal|panic", re.IGNORECASE)
_CAUSES = {
    "error_rate":
        "check the candidate's errors in the log below and replay the requests that failed",
    "latency":
        "profile the candidate under the load of its last stage (`load` in a suite)",
    "memory": "run a `soak` check against the candidate: it may leak",
    "up": "find out why the candidate went away before it is started again",
    "similarity": "see `changeover divergences` for what differs",
}
"""What to do, by what the metrics of triggers that fired have in their names."""
_SHOWN = ("error_rate", "user_error_rate", "latency_p95", "up", "memory")


def analyse(run: RollbackRun) -> dict[str, Any]:
    """Record what fired, the numbers before and after, and what users saw.

    A part that breaks is missing, and the step fails with its error.

    Returns:
        The analysis, JSON-able.
    """
    began = clock.now()
    run.renew_lease()
    record = run.record
    found, problems = _collected(run.site, record)
    if problems:
        run.save("analysis", StepStatus.FAILED, "; ".join(problems), began=began)
    else:
        run.save("analysis", StepStatus.DONE, record.reason, began=began)
    facts = {"reason": record.reason, "severity": record.severity, "decided_by": record.actor}
    return {**facts, **found}


def rehearse(site: Site) -> list[str]:
    """Return why the analysis of a rollback that began now would not be whole."""
    record = Rollback(
        site.migration, epoch=0, reason="rehearsal", severity=RollbackSeverity.MEDIUM,
        scope="all", actor="rehearsal", started_at=clock.now())
    _, problems = _collected(site, record)
    return [f"analysis, {problem}" for problem in problems]


def _collected(site: Site, record: Rollback) -> tuple[dict[str, Any], list[str]]:
    """Return the parts of an analysis, and one sentence for each that broke."""
    found, problems = {}, []
    for name, part in _parts(site, record).items():
        try:
            found[name] = part()
        # passing trouble: the task is tried again
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  what is known is returned all the same
            problems.append(f"{name}: {broke(error)}")
    return found, problems


def _parts(site: Site, record: Rollback) -> Mapping[str, Callable[[], Any]]:
    # a few minutes before: what led to it is part of it
    since = record.started_at - timedelta(minutes=5)
    fired = firings.all_of(site.store, site.migration, since=since)
    metrics = [each.evidence.get("metric", "") for each in fired]
    log = site.home.logs / "candidate.log"
    # each is asked when its turn comes, so that one that breaks leaves the others
    return {
        "before": lambda: _before(site, record),
        "after": lambda: _after(site, record),
        "triggers": lambda: [{"trigger": f.trigger, "reason": f.reason} for f in fired],
        # a worker elsewhere says nothing of the machine that served users
        **({} if site.is_elsewhere else {"machine": lambda: _machine(site)}),
        "nodes": lambda: _nodes(site),
        "users_saw": lambda: _users_saw(site, record),
        "error_log": lambda: [LOG_ELSEWHERE] if site.is_elsewhere else error_lines(log),
        "recommendation": lambda: recommendation(metrics),
    }


def _machine(site: Site) -> dict[str, float]:
    """Return how full the machine is; sizes in bytes."""
    disk, memory = psutil.disk_usage(str(site.home.root)), psutil.virtual_memory()
    return {
        "memory_percent": memory.percent, "memory_total": memory.total,
        "memory_used": memory.used, "memory_available": memory.available,
        "cpu_percent": psutil.cpu_percent(0.1), "cpu_cores": psutil.cpu_count() or 0,
        "disk_percent": disk.percent, "disk_free": disk.free,
    }


def _nodes(site: Site) -> dict[str, Any]:
    """Return what the newest health check measured of each of the plan's nodes."""
    newest = health_results.latest(site.store, site.migration)
    return {each.check: {"status": str(each.status), **each.data} for each in newest
            if each.check.startswith("node ")}


def _before(site: Site, record: Rollback) -> dict[str, Any]:
    """Return both systems' figures before the rollback."""
    return {
        "baseline": _numbers(site, "baseline", record, minutes=-5),
        "candidate": _numbers(site, "candidate", record, minutes=-5),
    }


def _after(site: Site, record: Rollback) -> dict[str, Any]:
    """Return the baseline's figures since the rollback, once some were measured."""
    if late := unmeasured(site, record.started_at + MEASURED):
        return {"baseline": f"nothing was measured since at {late}: is the observer running?"}
    return {"baseline": _numbers(site, "baseline", record, minutes=5)}


def _users_saw(site: Site, record: Rollback) -> dict[str, Any]:
    """Return how many requests users made since the cutover began, and how many failed."""
    began = record.started_at - timedelta(minutes=5)
    if record.cutover_id is not None:
        began = cutovers.get(site.store, record.cutover_id).started_at
    now = clock.now()
    own = site.metrics.window("baseline", start=began, end=now)
    candidate = site.metrics.window("candidate", start=began, end=now)
    return {
        "since": began.isoformat(),
        "requests": own.requests + candidate.requests,
        "errors": own.user_errors + candidate.user_errors,
        # requests of the candidate that the baseline answered in the end: users saw no error
        "saved_by_the_baseline": candidate.errors.get("saved", 0),
    }


def error_lines(log: Path) -> list[str]:
    """Return the newest lines of a log that report errors; none when there is no log."""
    try:
        size = log.stat().st_size
        with log.open("rb") as file:
            file.seek(max(0, size - LOG_BYTES))
            # half a character at the cut is no reason to lose the rest
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        if _ERROR.search(line):
            found.append(line[:300])
    return found[-MOST_TOLD:]


def recommendation(metrics: list[str]) -> str:
    """Return what to do next, by the metrics of the triggers that fired."""
    named = []
    for name, text in _CAUSES.items():
        # `latency` stands for all of its percentiles
        if any(name in metric for metric in metrics):
            named.append(text)
    unknown = "find the cause in the gate's evidence and the candidate's log"
    first = "; ".join(named) or unknown
    return (f"{first[0].upper()}{first[1:]}. "
            "When it is mended: suite staging, `changeover recover`, "
            "and a new cutover from the first stage")


def _numbers(site: Site, system: str, record: Rollback, *, minutes: int) -> dict[str, Any]:
    """Return a system's figures in the minutes before (negative) or after the rollback."""
    edge = record.started_at
    other = edge + timedelta(minutes=minutes)
    start, end = sorted((edge, other))
    # what has not been yet cannot have been measured
    end = min(end, clock.now())
    window = site.metrics.window(system, start=start, end=end)
    errors = dict(asdict(window)["errors"])
    figures: dict[str, Any] = {"requests": window.requests, "errors": errors}
    for name in _SHOWN:
        value = window.measure(name).value
        figures[name] = format_value(METRICS[name], value)
    return figures
