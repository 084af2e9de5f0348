"""Health of the systems: whether they answer, their nodes, services and memory."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from changeover import clock
from changeover.checks import agreement
from changeover.checks.health.result import Health, worst
from changeover.checks.suites.target import CheckTarget
from changeover.domain.health import Status
from changeover.gateway import reaching
from changeover.machine.http import get
from changeover.observer.probes import ProcessMeter
from changeover.plan.health import Issue, ItemsSpec, MemoryLimitSpec, NodeSpec, ServiceSpec
from changeover.plan.paths import value_at
from changeover.plan.systems import ProcessSpec, SystemSpec
from changeover.plan.units import format_size
from changeover.site.site import Site

NODE_SECONDS = 3.0


def answers(spec: SystemSpec, role: str) -> Health:
    """Ask a system for its health."""
    try:
        answer = reaching.health(spec)
    except httpx.HTTPError as error:
        what = f"{spec.name} does not answer ({type(error).__name__})"
        return Health(Status.CRITICAL, what, {}, Issue.SERVICE_DOWN, role)
    status = answer.status_code
    what = f"{spec.name} answers {status}"
    if answer.is_success:
        return Health(Status.HEALTHY, what)
    return Health(Status.UNHEALTHY, what, {"status": status}, Issue.SERVICE_DOWN, role)


def claims(spec: ItemsSpec, site: Site) -> Health:
    """Compare what both systems say of their items with the claims; people must reconcile them."""
    found = agreement.compare(site, spec.path, spec.grace)
    if found.problems:
        return Health(Status.UNHEALTHY, found.text, found.evidence)
    if found.unanswered:
        return Health(Status.WARNING, "; ".join(found.unanswered), found.evidence)
    what = f"both systems and the claims agree about {found.items} items"
    return Health(Status.HEALTHY, what, found.evidence)


def node(spec: NodeSpec, target: CheckTarget) -> Health:
    """Read a node's figures and compare them with what the plan allows."""
    try:
        answer = target.get(spec.of, spec.path, timeout=NODE_SECONDS)
        figures = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        what = f"returns no figures ({type(error).__name__})"
        return Health(Status.CRITICAL, what, {}, Issue.NODE_FAILURE, spec.of)
    problems, data = [], {}
    for name, path, is_bad, limit in _node_limits(spec):
        if path is None:
            continue
        value = _number(value_at(figures, path))
        data[name] = value
        # The plan says that a number is there: without it nobody watches the node.
        if value is None:
            problems.append(f"{name}: no number at {path}")
        elif is_bad(value):
            problems.append(f"{name} {value:g} is {limit}")
    problems += _idle(spec, figures, data)
    if problems:
        reason = "; ".join(problems)
        return Health(Status.UNHEALTHY, reason, data, Issue.NODE_FAILURE, spec.of)
    shown = [f"{name} {value:g}" for name, value in data.items()]
    return Health(Status.HEALTHY, ", ".join(shown) or "answers", data, None, spec.of)


def _node_limits(
    spec: NodeSpec
) -> list[tuple[str, str | None, Callable[[float], bool], str]]:
    """Return a node's figures: name, path, what is too much (or too little), and how it is said."""
    slow, most = spec.slow.total_seconds() * 1000, spec.most_memory / 1e6
    return [
        ("latency", spec.latency, lambda v: v > slow, f"above {slow:g} ms"),
        ("success rate", spec.success_rate, lambda v: v < spec.least_success,
         f"below {spec.least_success:g}"),
        ("queue", spec.queue, lambda v: v > spec.longest_queue, f"above {spec.longest_queue}"),
        ("memory", spec.memory, lambda v: v > most, f"above {most:g} MB"),
    ]


def _idle(spec: NodeSpec, figures: Any, data: dict[str, float | None]) -> list[str]:
    """Judge a node's last execution: one with an empty queue has nothing to do."""
    if spec.last_execution is None:
        return []
    at = _moment(value_at(figures, spec.last_execution))
    if at is None:
        return [f"last execution: no time at {spec.last_execution}"]
    data["idle"] = idle = round(max(0.0, clock.now().timestamp() - at), 1)
    if data.get("queue") == 0 or idle <= spec.stuck.total_seconds():
        return []
    return [f"executed nothing for {idle:.0f} s while tasks wait"]


def _moment(value: Any) -> float | None:
    """Return a time as Unix seconds, also one that is written as ISO 8601; None for all else."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, OverflowError):
            at = datetime.fromisoformat(value)
            # a time without a zone is UTC, as everywhere here
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return _number(value)


def _number(value: Any) -> float | None:
    """Return a finite number, None for everything else: NaN is neither slow nor fast."""
    # `true` is an integer in Python, and no figure of a node.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def services(specs: dict[str, ServiceSpec]) -> dict[str, Callable[[], Health]]:
    """Return a check for each service alone, and one for each pair."""
    pairs: dict[str, dict[str, ServiceSpec]] = {}
    found: dict[str, Callable[[], Health]] = {}
    for name, spec in specs.items():
        if spec.pair:
            pairs.setdefault(spec.pair, {})[name] = spec
        else:
            found[f"service {name}"] = partial(_service, name, spec)
    for pair, members in pairs.items():
        found[f"services {pair}"] = partial(_pair, members)
    return found


def _service(name: str, spec: ServiceSpec) -> Health:
    began = time.perf_counter()
    try:
        address = spec.url.rstrip("/") + spec.path
        answer = get(address, timeout=spec.timeout.total_seconds())
    except httpx.HTTPError as error:
        what = f"{name} does not answer ({type(error).__name__})"
        return Health(Status.CRITICAL, what, {}, Issue.SERVICE_DOWN, name)
    seconds = time.perf_counter() - began
    if not answer.is_success:
        what = f"{name} answers {answer.status_code}"
        return Health(Status.UNHEALTHY, what, {}, Issue.SERVICE_DOWN, name)
    is_slow = seconds > spec.slow.total_seconds()
    status = Status.WARNING if is_slow else Status.HEALTHY
    what = f"{name} answers after {seconds * 1000:.0f} ms"
    return Health(status, what, {"seconds": seconds})


def _pair(members: dict[str, ServiceSpec]) -> Health:
    """Judge services that work only together."""
    with ThreadPoolExecutor(len(members)) as pool:
        answers = pool.map(_service, members, members.values())
        found = dict(zip(members, answers, strict=True))
    whole = Health(
        worst(each.status for each in found.values()),
        "; ".join(each.detail for each in found.values()),
        {name: str(each.status) for name, each in found.items()},
    )
    # One repair at a time: what is wrong after it is found by the next run.
    for each in found.values():
        if each.issue:
            return replace(whole, issue=each.issue, system=each.system)
    return whole


def memory_limit(spec: MemoryLimitSpec, target: CheckTarget) -> Health:
    """Compare the memory of a system's processes with its limit."""
    system, whose = target.plan.system(spec.of), f"the {spec.of}"
    if spec.pid_file is not None:
        whose = spec.pid_file
        process = ProcessSpec(pid_file=str(target.folder / spec.pid_file))
        system = system.model_copy(update={"process": process})
    found = ProcessMeter(system, lambda: target.pids.get(spec.of)).read()
    if found is None:
        where = " on this machine" if target.site and target.site.is_elsewhere else ""
        return Health(Status.ERROR, f"the process of {whose} is not known{where}")
    used = found[0]
    data = {"bytes": used}
    summary = f"{format_size(used)} of at most {format_size(spec.limit)}"
    if used > spec.limit:
        return Health(Status.CRITICAL, summary, data, Issue.MEMORY_PRESSURE, spec.of)
    status = Status.WARNING if used > 0.9 * spec.limit else Status.HEALTHY
    return Health(status, summary, data)
