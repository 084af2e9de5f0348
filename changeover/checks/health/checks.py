"""Every health check that a plan has, by name; none of them hides another's result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from changeover import clock
from changeover.checks.health import machine, systems
from changeover.checks.health.nodes import gateway_nodes_of, idle_nodes, shadow_of_nodes
from changeover.checks.health.result import Health, worst
from changeover.checks.health.way_back import way_back
from changeover.checks.health.webhooks import receives
from changeover.checks.suites.target import CheckTarget
from changeover.domain.crew import Crew
from changeover.domain.gateway_nodes import OUTDATED
from changeover.domain.health import SILENT_AFTER, Status, patience_with
from changeover.domain.routing import System
from changeover.errors import ChangeoverError
from changeover.gateway.protocol import Answer
from changeover.plan.health import HealthSpec, Issue
from changeover.plan.hook_rules import has_load
from changeover.site.site import Site
from changeover.store import heartbeats, main_gateways, routing
from changeover.store.leading import can_lead

LONGEST_SECONDS = 20.0
"""A check that has no result after this is an error, and nobody waits for it."""
WORKER_SILENT = timedelta(seconds=90)
WATCHED_FLOWS = ("cutover", "rollback", "validation", "report")
PREFECT_SECONDS = LONGEST_SECONDS * 3 / 4
"""The longest wait for Prefect, shorter than a check's, so that a silent server is reported."""
Check = Callable[[], Health]


def checks_of(site: Site) -> dict[str, Check]:
    """Return all checks of a migration by name."""
    plan, spec = site.plan, site.plan.health
    found: dict[str, Check] = {
        "memory": partial(machine.memory, spec.memory),
        "disk": partial(machine.disk, spec.disk, site.home.root),
        "home": partial(machine.folder, site.home.root),
        "gateway": partial(_gateway, site),
        # Without it nobody watches triggers; without the others only something is missing.
        "observer": partial(_observer, site),
        "prefect": partial(_prefect, site),
    }
    if can_lead(site.store):  # nodes need a database that other machines reach
        found["gateway nodes"] = partial(gateway_nodes_of, site)
    if any(lever.shrinks for lever in plan.levers.values()):
        found["way back"] = partial(way_back, site)
    for name, webhook in plan.webhooks.items():
        found[f"webhook {name}"] = partial(receives, site, name, webhook)
    if spec.claims is not None:
        found["claims"] = partial(systems.claims, spec.claims, site)
    if spec.limits:
        found["limits"] = partial(_limits, site)
    for name in System:
        found[str(name)] = partial(systems.answers, plan.system(name), str(name))
    if plan.shadow:
        found["shadow"] = partial(_shadow, site)
    if has_load(plan):
        # no user misses it; one that has ended is started again by the supervisor
        found["load"] = partial(_service, site, "load", Status.WARNING, None)
    target = _target(site, found)
    # Settings that cannot be read say nothing of a console.
    if "settings" not in found and site.home.settings().get("console_url"):
        found["console"] = partial(_service, site, "console", Status.UNHEALTHY, Issue.CONSOLE_GONE)
    return found | _of_plan(spec, target)


def _of_plan(spec: HealthSpec, target: CheckTarget) -> dict[str, Check]:
    """Return the checks that only the plan knows of: its folders, nodes, services, databases."""
    found: dict[str, Check] = {}
    for name, path in spec.folders.items():
        found[f"folder {name}"] = partial(machine.folder, target.folder / path)
    for name, node in spec.nodes.items():
        found[f"node {name}"] = partial(systems.node, node, target)
    found |= systems.services(spec.services)
    for name, database in spec.databases.items():
        found[f"database {name}"] = partial(machine.database, database, target)
    for name, certificate in spec.certificates.items():
        found[f"certificate {name}"] = partial(machine.certificate, certificate)
    for name, limit in spec.memory_limits.items():
        found[f"memory of {name}"] = partial(systems.memory_limit, limit, target)
    return found


def examine(
    checks: Mapping[str, Check], *, within: float = LONGEST_SECONDS
) -> dict[str, Health]:
    """Run checks beside each other and return all their findings, in the order given.

    One that breaks, or has no result within `within` seconds, is an error of its own only.
    """
    results: queue.SimpleQueue[tuple[str, Health]] = queue.SimpleQueue()

    def work(name: str) -> None:
        results.put((name, safely(checks[name])))

    # Each has a thread of its own, so that none waits for one that hangs; as daemons they do not
    # keep the process alive either.
    for name in checks:
        threading.Thread(target=work, args=(name,), daemon=True).start()
    found: dict[str, Health] = {}
    deadline = time.monotonic() + within
    while len(found) < len(checks):
        try:
            name, health = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = health
    late = Health(Status.ERROR, f"no result within {within:g} s")
    return {name: found.get(name, late) for name in checks}


def safely(check: Check) -> Health:
    """Run a check; what it raises is its finding, and nobody else's."""
    try:
        return check()
    except ChangeoverError as error:
        return Health(Status.ERROR, str(error))
    except Exception as error:  # noqa: BLE001  one check's fault must not hide the others' results
        return Health(Status.ERROR, f"{type(error).__name__}: {str(error)[:300]}")


def _target(site: Site, found: dict[str, Check]) -> CheckTarget:
    """Return the target of the checks; settings that cannot be read are a finding of their own."""
    try:
        return CheckTarget.of(site)
    except ChangeoverError as error:
        unread = Health(Status.ERROR, str(error))
        found["settings"] = lambda: unread
        return CheckTarget(site.plan, site.home.root)


_OF_GATEWAY = {
    Answer.SERVES: Status.HEALTHY,
    Answer.WITHHOLDS: Status.WARNING,
    Answer.UNLIKE_BACK_PRESSURE: Status.UNHEALTHY,
    Answer.DRIFTED: Status.CRITICAL,
    Answer.GLASS_IS_BROKEN: Status.CRITICAL,
    Answer.SILENT: Status.CRITICAL,
}


def _gateway(site: Site) -> Health:
    """Check that the gateway serves the routing state and withholds users only when it should."""
    state = routing.read(site.store, site.migration)
    seen = site.gateway.serving(state)
    status = _OF_GATEWAY[seen.answer]
    # What publishing once more may mend.
    is_drift = seen.answer in (Answer.SILENT, Answer.DRIFTED, Answer.UNLIKE_BACK_PRESSURE)
    if is_drift:
        return Health(status, seen.text, {}, Issue.GATEWAY_DRIFT, "gateway")
    if status is Status.HEALTHY and site.gateway.is_outdated(site.plan):
        # it serves the routes; no cutover begins with it
        return Health(Status.WARNING, f"{seen.text}; {OUTDATED}")
    return Health(status, seen.text)


def _service(site: Site, name: str, status: Status, issue: Issue | None) -> Health:
    """Judge a service by its last heartbeat; one that was just started gets its time."""
    beats = {beat.service: beat for beat in heartbeats.of(site.store, site.migration)}
    beat = beats.get(name)
    now, patience = clock.now(), patience_with(name)
    if beat is not None and now - beat.at <= SILENT_AFTER:
        return Health(Status.HEALTHY, f"the {name} is alive")
    since = "never sent a heartbeat"
    if beat is not None:
        since = f"sent its last heartbeat at {beat.at:%H:%M:%S} UTC"
    if beat is not None and now - beat.at <= patience:
        why = "it gets the processor last on a busy machine"
        return Health(Status.WARNING, f"the {name} {since}: {why}")
    # A process that was started just now has not had the time to send one.
    started = _started(site, name)
    if started is not None and now - started <= patience:
        return Health(status, f"the {name} {since}; it was started at {started:%H:%M:%S} UTC")
    return Health(status, f"the {name} {since}", {}, issue, name)


def _shadow(site: Site) -> Health:
    """Judge the main machine's shadow service, how many of its processes compare, and nodes' ones.

    Where there is no main machine, the one of nodes that was heard of last stands for it.
    """
    beats = {beat.service: beat for beat in heartbeats.of(site.store, site.migration)}
    others = shadow_of_nodes(site, beats)
    name: str = "shadow"
    issue: Issue | None = Issue.SHADOW_GONE
    has_main = not site.is_elsewhere or main_gateways.find(site.store, site.migration) is not None
    if not has_main:
        name, issue = max(others, key=lambda each: beats[each].at, default=name), None
    found = _service(site, name, Status.UNHEALTHY, issue)
    if found.status is not Status.HEALTHY:
        return found
    now = clock.now()
    silent = [each for each in others if now - beats[each].at > patience_with(each)]
    idle = sorted({*silent, *(f"shadow {node}" for node in idle_nodes(site))})
    crews = {each: crew for each in (name, *others)
             if each not in idle and (crew := Crew.of(beats[each].detail))}
    return _with_crews(found, name, idle, crews)


def _with_crews(
    found: Health, name: str, idle: list[str], crews: Mapping[str, Crew]
) -> Health:
    """Add to a shadow service's health who compares nothing and where processes are missing."""
    status, said, counts = found.status, found.detail, {}
    if own := crews.get(name):
        said += f", {own.text}"
        counts = {"processes": own.at_work, "wanted": own.wanted}
    for each, crew in sorted(crews.items()):
        # one that is missing is started again by the service: comparisons go on with the others
        if not crew.is_whole:
            status = worst((status, Status.WARNING if crew.at_work else Status.UNHEALTHY))
            said += "" if each == name else f"; {each}: {crew.text}"
    if idle:
        status = worst((status, Status.WARNING))
        said += f"; silent or ended, so that nothing is compared there: {', '.join(idle)}"
    return Health(status, said, counts)


def _observer(site: Site) -> Health:
    """Judge the main machine's observer; where there is no main machine, the others."""
    name = "observer"
    if site.is_elsewhere and main_gateways.find(site.store, site.migration) is None:
        others = [beat for beat in heartbeats.of(site.store, site.migration)
                  if beat.service.startswith("observer ")]
        name = max(others, key=lambda beat: beat.at).service if others else name
    return _service(site, name, Status.CRITICAL, Issue.OBSERVER_GONE)


def _started(site: Site, name: str) -> datetime | None:
    """Return when the supervisor started a process; None when nobody knows."""
    try:
        entry = site.home.process(name)
    except ChangeoverError:  # a finding of its own
        return None
    return clock.from_timestamp(entry["created"]) if entry else None


def _prefect(site: Site) -> Health:
    """Check Prefect's server, its worker and runs that should have begun."""
    api, now = site.prefect_within(PREFECT_SECONDS), clock.now()
    if not api.is_alive():
        return Health(Status.CRITICAL, "Prefect's server does not answer")
    silent = api.worker_silence(now)
    if silent is None or silent > WORKER_SILENT:
        since = "never reported to Prefect"
        if silent is not None:
            since = f"has not reported to Prefect for {silent.total_seconds():.0f} s"
        if not site.home.has_worker:  # nobody here can start it again
            return Health(Status.CRITICAL, f"the worker, which runs elsewhere, {since}")
        return Health(Status.CRITICAL, f"the worker {since}", {}, Issue.WORKER_GONE, "worker")
    late = api.late_runs(now, site.plan.health.late_runs, WATCHED_FLOWS)
    if late:
        runs = "1 flow run is" if late == 1 else f"{late} flow runs are"
        return Health(Status.WARNING, f"{runs} late", {"late": late})
    return Health(Status.HEALTHY, "server and worker are alive, no run is late", {"late": 0})


def _limits(site: Site) -> Health:
    """Compare Prefect's global concurrency limits with the plan's."""
    api, wanted = site.prefect_within(PREFECT_SECONDS), site.plan.health.limits
    found = {name: api.limit(name) for name in wanted}
    wrong = []
    for name, limit in wanted.items():
        has = found[name]
        if has != limit:
            wrong.append(f"{name} is {'missing' if has is None else has}, not {limit}")
    if wrong:
        return Health(Status.UNHEALTHY, "; ".join(wrong), {}, Issue.LIMIT_DRIFT, "prefect")
    listed = ", ".join(f"{name} {limit}" for name, limit in wanted.items())
    return Health(Status.HEALTHY, f"set in Prefect as planned: {listed}")
