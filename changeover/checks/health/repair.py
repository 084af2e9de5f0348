"""Repair: from an issue to its strategy, within a budget, and seen to have worked.

Strategies of our own need no knowledge of the systems: a gateway that drifted is published to
again, Prefect's limits are set again, and a process of ours that is silent is started again by the
supervisor. Everything else is the plan's levers. What was done counts only when the check that
found the issue is good afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import psutil

from changeover import clock
from changeover.checks.health.checks import PREFECT_SECONDS, Check, safely
from changeover.checks.health.result import Health
from changeover.domain.audit import NewEvent
from changeover.domain.health import Declined, Repair, RepairRequest, RepairStatus, Status, Why
from changeover.domain.messages import Message, Severity
from changeover.errors import ChangeoverError, InvalidInput, Unreachable
from changeover.plan.health import Issue, RepairSpec
from changeover.procedures import levers, traffic
from changeover.site.site import Site
from changeover.store import audit, messages, repairs, routing

RECHECK_SECONDS = 0.5
RECHECKS_BEFORE = 2
"""The check is repeated before anything is repaired: one bad answer is no issue."""
AT_ONCE = 4
MARGIN = timedelta(seconds=90)
"""A lease is this much longer than everything that the attempt may take."""
RESTART_SECONDS = 60.0
"""The supervisor polls a few times a second; what it ends may have ten seconds for that."""
GOOD = (Status.HEALTHY, Status.WARNING)
OURS = (Issue.GATEWAY_DRIFT, Issue.LIMIT_DRIFT)
RESTARTED = {
    Issue.WORKER_GONE: "worker", Issue.OBSERVER_GONE: "observer",
    Issue.SHADOW_GONE: "shadow", Issue.CONSOLE_GONE: "console",
}


def repair_all(
    site: Site, found: Mapping[str, Health], checks: Mapping[str, Check]
) -> dict[str, str]:
    """Try to repair everything that was found and may be repaired, beside each other.

    Returns:
        For each check with an issue that something was or could have been done about: what was
        done, or why nothing was. One repair that breaks hides no other.
    """
    due = {}
    for name, health in found.items():
        if health.issue and health.status not in GOOD:
            due[name] = health

    def one(name: str) -> str:
        try:
            return attempt_repair(site, name, due[name], checks[name])
        except Exception as error:  # noqa: BLE001  one repair's fault must not hide the others
            return f"not repaired because {type(error).__name__}: {str(error)[:300]}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        texts = dict(zip(due, pool.map(one, due), strict=True))
    return {name: text for name, text in texts.items() if text}


@dataclass(frozen=True, slots=True)
class _Case:
    """What a check found, and how it is repaired."""

    site: Site
    name: str
    found: Health
    check: Check
    spec: RepairSpec


def attempt_repair(site: Site, name: str, found: Health, check: Check) -> str:
    """Try to repair what a check found; return what was done, or why nothing was.

    Args:
        site: The migration.
        name: The check's name.
        found: Its finding, with an issue.
        check: The check itself, to see whether the repair worked.

    Raises:
        StoreError: The store cannot be used; an attempt that was begun ends with its lease.
    """
    spec = strategy_of(site, found)
    if spec is None:
        return ""
    for _ in range(RECHECKS_BEFORE):
        time.sleep(RECHECK_SECONDS)
        if (again := safely(check)).status in GOOD:
            return f"not repaired because it is good again: {again.detail}"
    case = _Case(site, name, found, check, spec)
    request = RepairRequest(
        issue=str(found.issue), system=found.system, attempts=spec.attempts,
        backoff=spec.backoff, lease=_lease(site, spec))
    # Claimed in the store: two health checks that overlap must not repair the same system.
    claimed = repairs.claim(site.store, site.migration, request, now=clock.now())
    if isinstance(claimed, Declined):
        if claimed.why is Why.BUDGET:
            _escalate(case, claimed.last)
        return claimed.reason
    done = _attempt(case, claimed)
    # The last one allowed: nobody tries again, so people must.
    if done.status == RepairStatus.FAILED and done.attempt >= spec.attempts:
        _escalate(case, done.id)
    word = "repaired" if done.status == RepairStatus.DONE else "not repaired"
    return f"{word} {done.issue} of {done.system} in attempt {done.attempt}: {done.detail}"


def strategy_of(site: Site, found: Health) -> RepairSpec | None:
    """Return how an issue is repaired; None when nobody said how."""
    if found.issue in site.plan.health.repairs:
        return site.plan.health.repairs[found.issue]
    is_ours = found.issue in OURS or _process_of(site, found) is not None
    return RepairSpec() if is_ours else None


def _process_of(site: Site, found: Health) -> str | None:
    """Return the process of ours to start again: a service, or a system that may be restarted."""
    if found.issue in RESTARTED:
        return RESTARTED[found.issue]
    service = site.plan.health.services.get(found.system)
    if found.issue is Issue.SERVICE_DOWN and service is not None:
        return service.process
    if found.issue is Issue.SERVICE_DOWN and found.system in ("baseline", "candidate"):
        process = site.plan.system(found.system).process
        if process is not None and process.command is not None and process.restart:
            return found.system
    return None


def _lease(site: Site, spec: RepairSpec) -> timedelta:
    longest = spec.within + MARGIN
    for name in spec.levers:
        longest += site.plan.levers[name].timeout
    return longest


def _attempt(case: _Case, claimed: Repair) -> Repair:
    """Carry out a claimed attempt and close it, whatever happens to it."""
    try:
        problems = _carry_out(case)
        again = _wait_until_good(case)
        is_good = again.status in GOOD
        detail = "; ".join([*problems, f"{case.name}: {again.detail}"])
    except Exception as error:  # noqa: BLE001  a claim that is not closed blocks the system
        is_good, detail = False, f"{type(error).__name__}: {str(error)[:300]}"
    store, now = case.site.store, clock.now()
    return repairs.finish(store, claimed.id, is_good=is_good, detail=detail, now=now)


def _carry_out(case: _Case) -> list[str]:
    """Do what the strategy says and return what went wrong."""
    site, found, spec = case.site, case.found, case.spec
    problems = []
    process = _process_of(site, found)
    try:
        if found.issue is Issue.GATEWAY_DRIFT:
            _publish_again(site)
        elif found.issue is Issue.LIMIT_DRIFT:
            site.prefect_within(PREFECT_SECONDS).set_limits(site.plan.health.limits)
        elif process is not None and not spec.levers:
            _start_again(site, process)
    except ChangeoverError as error:
        # The plan's levers may help all the same.
        problems.append(error.what)
    # by it one lever can mend any of many nodes
    told = {"issue": str(found.issue), "check": case.name, "system": found.system,
            "detail": found.detail}
    return problems + levers.pull_all(
        site, spec.levers, actor="health-check/main", repair=told)


def _publish_again(site: Site) -> None:
    traffic.publish(site, routing.read(site.store, site.migration))


def _start_again(site: Site, process: str) -> None:
    """Ask the supervisor, which alone knows how the process is started, and wait until it was.

    What is ended may give a last sign of life, which must not pass for a repair.
    """
    if site.is_elsewhere:
        raise InvalidInput(
            f"{process} was not started again: that is done on the machine of `changeover up`")
    entry = site.home.settings().get("supervisor") or {}
    try:
        # The pid alone may be another program's by now. Times of one process differ a little: they
        # are made of ticks of a hundredth of a second.
        created = psutil.Process(entry["pid"]).create_time()
        is_there = abs(created - entry["created"]) < 0.02
    except (psutil.Error, KeyError):
        is_there = False
    if not is_there:
        raise InvalidInput(f"{process} was not started again: `changeover up` does not run")
    before = _pid(site, process)
    site.home.ask_restart(process)

    def is_another() -> bool:
        return before is None or _pid(site, process) != before

    is_new = clock.poll_until(
        is_another, bool, seconds=RESTART_SECONDS, pause=RECHECK_SECONDS)
    if not is_new:
        raise Unreachable(f"{process} was not started again within {RESTART_SECONDS:.0f} s")


def _pid(site: Site, process: str) -> int | None:
    entry = site.home.process(process)
    return entry["pid"] if entry else None


def _wait_until_good(case: _Case) -> Health:
    """Repeat the check until it is good or the time of the repair is over."""
    return clock.poll_until(
        lambda: safely(case.check), lambda found: found.status in GOOD,
        seconds=case.spec.within.total_seconds(), pause=RECHECK_SECONDS)


def _escalate(case: _Case, attempt: int) -> None:
    """Call people once the budget is used up: once for each budget, and never silently."""
    site, name, found = case.site, case.name, case.found
    migration, now = site.migration, clock.now()
    what = f"{found.issue} {found.system}"
    body = f"{found.detail}. {case.spec.attempts} repairs in an hour did not help for long."
    if site.plan.notify:
        title = f"{name} of {migration} needs a person"
        messages.put(site.store, Message(
            migration, key=f"escalation {what}", severity=Severity.CRITICAL, title=title,
            body=body, at=now))
    data = {
        "issue": found.issue, "system": found.system, "check": name, "detail": body[:500]}
    audit.record(site.store, migration, NewEvent(
        actor="health-check/main", kind="repair.escalated", at=now, data=data,
        # The health check comes every minute: one escalation for each budget is enough.
        once_key=f"escalation-{found.issue}-{found.system}-{attempt}"))
