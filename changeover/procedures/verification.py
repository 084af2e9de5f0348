"""Seeing that a rollback is complete: counted at the gateway, not believed."""

from __future__ import annotations

import operator
from datetime import datetime, timedelta

import httpx

from changeover import clock
from changeover.domain.routing import ON_USERS
from changeover.errors import ChangeoverError
from changeover.gateway import reaching
from changeover.gateway.long_connections import ended_in, open_now
from changeover.plan.paths import value_at
from changeover.plan.procedures import QueueSpec
from changeover.procedures import baseline, fleet
from changeover.procedures.steps import Found, RollbackRun
from changeover.procedures.suites import SuiteResult, problems_of
from changeover.site.site import Site
from changeover.store import routing

VERIFY_SECONDS = 30.0
MEASURED = timedelta(seconds=3)
"""Traffic counts as seen when it was measured for this long; samples come a second or two late."""
MEASURED_WITHIN = 20.0
"""An observer that was just started again has stored its first seconds by then."""


def verify(run: RollbackRun, suite: SuiteResult | None) -> str:
    """See that nobody is on the candidate, the baseline well, queues empty, the suite passed.

    Args:
        run: The rollback.
        suite: What the plan's suite found, None when it names none.

    Returns:
        What was seen; why it is not complete when a person must check it.
    """
    site, began = run.site, clock.now()

    def check() -> Found:
        # asked again and again: requests that were under way end within seconds
        grace = site.plan.rollback.grace
        run.renew_lease(busy_for=grace)
        patience = VERIFY_SECONDS + grace.total_seconds()
        problems = clock.poll_until(
            lambda: _problems(site, began), operator.not_, seconds=patience, pause=0.5)
        problems += problems_of(suite)
        if problems:
            raise ChangeoverError(
                "; ".join(problems), next_step="A person must check it")
        start, end = _quiet(site)
        window = site.metrics.window("baseline", start=start, end=end)
        seconds = f"{MEASURED.total_seconds():g} s"
        said = ("the gateway serves everyone from the baseline "
                f"({window.requests} requests counted there in the last {seconds}, "
                "none at the candidate), and the baseline is well")
        ended = _ended(run)
        if run.site.is_elsewhere:
            said += "; long connections are counted on the gateways' machines only"
        if ended:
            said += f"; {ended} of the candidate's long connections were ended"
        return said, {"long_connections_ended": ended}

    return run.once("verify", check).detail


def unmeasured(site: Site, until: datetime) -> str:
    """Wait until every gateway that lives has stored what it measured until then.

    Returns:
        Which have not: `the main gateway, gateway node edge-1`; empty when all have.
    """
    return clock.poll_until(
        lambda: _late(site, until), operator.not_, seconds=MEASURED_WITHIN, pause=0.2)


def rehearse(site: Site, suite: SuiteResult | None) -> list[str]:
    """Return why a rollback could not be verified now; whether queues are empty is not asked.

    Args:
        site: The migration.
        suite: What the plan's suite found just now, None when it names none.
    """
    problems = []
    for queue in site.plan.rollback.queues:
        _, problem = _length_of(site, queue)
        if problem:
            problems.append(problem)
    if late := unmeasured(site, clock.now()):
        problems.append(f"no traffic is measured at {late}: is the observer running?")
    if not baseline.is_well(site.plan):
        problems.append("the baseline is not well")
    return problems + problems_of(suite)


def _late(site: Site, until: datetime) -> str:
    """Return which gateways have not stored yet what they measured until a moment."""
    return ", ".join(name for name, reached in fleet.measured_until(site).items()
                     if reached is None or reached < until)


def _quiet(site: Site) -> tuple[datetime, datetime]:
    """Return the newest seconds that all gateways measured, as [start, end)."""
    reached = [each for each in fleet.measured_until(site).values() if each is not None]
    end = min(reached, default=clock.now())
    return end - MEASURED, end


def _still_sent(site: Site, began: datetime) -> list[str]:
    """Return why it is not seen yet that the candidate gets nothing.

    The newest seconds count, not all since `began`: an answer that takes long is counted when it
    ends, though nothing was sent since.
    """
    if late := _late(site, began + MEASURED):
        return [f"no traffic was measured since {began:%T} UTC at {late}: "
                "is the observer running?"]
    start, end = _quiet(site)
    still = site.metrics.window("candidate", start=start, end=end).requests
    if not still:
        return []
    when = f"from {start:%T} to {end:%T} UTC"
    return [f"the gateway sent {still} requests to the candidate {when}"]


def _ended(run: RollbackRun) -> int:
    """Return how many websockets and event streams the gateway ended in this rollback."""
    return ended_in(run.site.gateway, run.record.epoch, run.site.plan.rollback.grace)


def _problems(site: Site, began: datetime) -> list[str]:
    """Return why the rollback is not complete yet, one sentence each."""
    problems = [*_not_empty(site), *_still_sent(site, began)]
    state = routing.read(site.store, site.migration)
    if state.mode in ON_USERS:
        problems.append(f"the routing state is {state.describe()}")
    seen = site.gateway.serving(state)
    if not seen.is_current:
        problems.append(f"gateway: {seen.text}")
    if count := open_now(site.gateway):
        problems.append(f"{count} long connections are still with the candidate")
    if nodes := fleet.lost(site, state):
        problems.append(f"gateway nodes: {nodes}")
    if not baseline.is_well(site.plan):
        problems.append("the baseline is not well")
    return problems


def _not_empty(site: Site) -> list[str]:
    """Return one sentence for each queue that is not drained."""
    problems = []
    for queue in site.plan.rollback.queues:
        found, problem = _length_of(site, queue)
        if problem:
            problems.append(problem)
        elif found > queue.at_most:
            name = f"queue {queue.path} of the {queue.of}"
            problems.append(f"{name} has {found!r}, more than {queue.at_most}")
    return problems


def _length_of(site: Site, queue: QueueSpec) -> tuple[float, str]:
    """Return how long a queue says that it is, and why it cannot be read."""
    system = site.plan.system(queue.of)
    try:
        found = value_at(reaching.get(system, queue.path, timeout=5).json(), queue.value)
        why = f"no number at {queue.value}"
    except (httpx.HTTPError, ValueError) as error:
        found, why = None, type(error).__name__
    if isinstance(found, int | float):
        return found, ""
    return 0, f"queue {queue.path} of the {queue.of} cannot be read ({why})"
