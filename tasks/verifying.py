"""Seeing that a rollback is complete: counted at the gateway, not believed."""

from __future__ import annotations

import operator
from datetime import datetime, timedelta

import httpx

from changeover import clock
from changeover.checks.suites.http import value_at
from changeover.domain.routing import Mode
from changeover.errors import ChangeoverError
from changeover.machine.http import get
from changeover.plan.procedures import QueueSpec
from changeover.procedures import baseline
from changeover.store import routing, samples
from tasks.carrying import broke, carry_out
from tasks.runtime import Runtime, runtime_of
from tasks.steps import PASSING_TROUBLE, step
from tasks.validating import Result, run_verification

VERIFY_SECONDS = 30.0
MEASURED = timedelta(seconds=3)
"""Traffic counts as seen when it was measured for this long; samples come a second or two late."""
MEASURED_WITHIN = 20.0


async def run_suite(migration: str, suite: str | None, rollback_id: int) -> Result | None:
    """Run the plan's suite; one that breaks is one that failed, and verification goes on."""
    try:
        return await run_verification(migration, suite, rollback_id)
    except PASSING_TROUBLE:
        raise
    except Exception as error:  # noqa: BLE001  people must be told in any case
        return {"suite": suite, "verdict": "fail", "reason": broke(error)}


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
        problems = clock.look_until(
            lambda: _problems(runtime, began), operator.not_, seconds=VERIFY_SECONDS, pause=0.5)
        problems += _of_suite(suite)
        if problems:
            raise ChangeoverError("; ".join(problems), next_step="A person must look")
        start, end = _quiet(runtime)
        counted = runtime.metrics.window("baseline", start=start, end=end).requests
        return f"the gateway serves everyone from the baseline ({counted} requests counted there " \
            f"in the last {MEASURED.total_seconds():g} s, none at the candidate), and the " \
            "baseline is well"

    return carry_out(runtime, rollback_id, 5, "verify", look)


def is_measured_until(runtime: Runtime, until: datetime) -> bool:
    """Wait until the observer has stored what it measured until then; whether it has."""
    return clock.look_until(
        lambda: _is_stored(runtime, until), bool, seconds=MEASURED_WITHIN, pause=0.2)


def _is_stored(runtime: Runtime, until: datetime) -> bool:
    newest = samples.measured_until(runtime.store, runtime.migration)
    return newest is not None and newest >= until


def _quiet(runtime: Runtime) -> tuple[datetime, datetime]:
    """Return the newest seconds that were measured, as [start, end)."""
    end = samples.measured_until(runtime.store, runtime.migration) or clock.now()
    return end - MEASURED, end


def _still_sent(runtime: Runtime, began: datetime) -> list[str]:
    """Return why it is not seen yet that the candidate gets nothing.

    The newest seconds count, not all since `began`: an answer that takes long is counted when it
    ends, though nothing was sent since.
    """
    if not _is_stored(runtime, began + MEASURED):
        return [f"no traffic was measured since {began:%T} UTC: is the observer running?"]
    start, end = _quiet(runtime)
    still = runtime.metrics.window("candidate", start=start, end=end).requests
    return [f"the gateway sent {still} requests to the candidate from {start:%T} to {end:%T} UTC"] \
        if still else []


def _problems(runtime: Runtime, began: datetime) -> list[str]:
    """Return why the rollback is not complete yet, one sentence each."""
    problems = _not_empty(runtime)
    problems += _still_sent(runtime, began)
    state = routing.read(runtime.store, runtime.migration)
    if state.mode in (Mode.GRADUAL, Mode.CANDIDATE_ONLY):
        problems.append(f"the routing state is {state.describe()}")
    try:
        served = runtime.gateway.served()
        if served != state.order:
            problems.append(f"the gateway serves {served}, not {state.order}")
    except ChangeoverError as error:
        problems.append(str(error))
    if not baseline.is_well(runtime.plan):
        problems.append("the baseline is not well")
    return problems


def _not_empty(runtime: Runtime) -> list[str]:
    """Return one sentence for each queue that is not drained."""
    problems = []
    for queue in runtime.plan.rollback.queues:
        found, problem = _length_of(runtime, queue)
        if problem or found > queue.at_most:
            problems.append(problem or f"queue {queue.path} of the {queue.of} has {found!r}, more "
                            f"than {queue.at_most}")
    return problems


def _length_of(runtime: Runtime, queue: QueueSpec) -> tuple[float, str]:
    """Return how long a queue says that it is, and why it cannot be read."""
    url = runtime.plan.system(queue.of).url.rstrip("/") + queue.path
    try:
        found = value_at(get(url, timeout=5).json(), queue.value)
        why = f"no number at {queue.value}"
    except (httpx.HTTPError, ValueError) as error:
        found, why = None, type(error).__name__
    if isinstance(found, int | float):
        return found, ""
    return 0, f"queue {queue.path} of the {queue.of} cannot be read ({why})"


def rehearse_verification(runtime: Runtime, suite: Result | None) -> list[str]:
    """Return why a rollback could not be verified now; whether queues are empty is not asked.

    Args:
        runtime: The migration's.
        suite: What the plan's suite found just now, None when it names none.
    """
    problems = [problem for queue in runtime.plan.rollback.queues
                if (problem := _length_of(runtime, queue)[1])]
    if not is_measured_until(runtime, clock.now()):
        problems.append("no traffic is measured: is the observer running?")
    if not baseline.is_well(runtime.plan):
        problems.append("the baseline is not well")
    return problems + _of_suite(suite)


def _of_suite(suite: Result | None) -> list[str]:
    """Return why a suite did not pass; nothing when it did, or when there is none."""
    if suite is None or suite["verdict"] == "pass":
        return []
    return [f"suite {suite['suite']}: {suite['reason']}"]
