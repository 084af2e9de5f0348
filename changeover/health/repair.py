"""Repair: from an issue to its strategy, within a budget, and seen to have worked.

Strategies of our own are those that need no knowledge of the systems: a gateway that drifted is
published to again. Everything else is the plan's levers. What was done counts only when the check
that found the issue is good afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from changeover import clock, levers
from changeover.errors import ChangeoverError
from changeover.gateway.publish import Gateway
from changeover.health.checks import Patient
from changeover.health.result import Health, Status
from changeover.plan.health import RepairSpec
from changeover.store import messages, operations, repairs, routing
from changeover.store.repairs import Repair

LOOK_SECONDS = 0.5
GOOD = (Status.HEALTHY, Status.WARNING)


def attempt_repair(
    patient: Patient, name: str, found: Health, look: Callable[[], Health]
) -> str:
    """Try to repair what a check found; return what was done, or why nothing was.

    Args:
        patient: The migration.
        name: The check's name.
        found: Its finding, with an issue.
        look: The check, to see whether the repair worked.
    """
    spec = strategy_of(patient, found)
    if spec is None:
        return ""
    claimed = repairs.claim(
        patient.store, patient.plan.migration, issue=found.issue, system=found.system,
        attempts=spec.attempts, backoff=spec.backoff, now=clock.now())
    if isinstance(claimed, str):
        _escalate(patient, name, found, spec)
        return claimed
    problems = _carry_out(patient, found, spec)
    is_good, seen = _gets_good(look, spec.within.total_seconds())
    detail = "; ".join([*problems, f"{name}: {seen}"])
    done = repairs.finish(patient.store, claimed.id, is_good=is_good, detail=detail,
                          now=clock.now())
    if not is_good:
        _escalate(patient, name, found, spec)
    return _told(done)


def strategy_of(patient: Patient, found: Health) -> RepairSpec | None:
    """Return how an issue is repaired; None when nobody said how."""
    known = {str(issue): spec for issue, spec in patient.plan.health.repairs.items()}
    if found.issue == "gateway_drift":
        return known.get(found.issue, RepairSpec())
    return known.get(found.issue)


def _carry_out(patient: Patient, found: Health, spec: RepairSpec) -> list[str]:
    problems = []
    if found.issue == "gateway_drift":
        state = routing.read(patient.store, patient.plan.migration)
        try:
            operations.save_publication(
                patient.store, Gateway(patient.home.gateway_files).publish(patient.plan, state))
        except ChangeoverError as error:
            problems.append(str(error))
    return problems + levers.pull_all(
        patient.store, patient.plan, spec.levers, actor="health-check/main")


def _gets_good(look: Callable[[], Health], seconds: float) -> tuple[bool, str]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except ChangeoverError as error:
            seen = Health(Status.ERROR, str(error))
        if seen.status in GOOD or time.monotonic() > deadline:
            return seen.status in GOOD, seen.detail
        time.sleep(LOOK_SECONDS)


def _escalate(patient: Patient, name: str, found: Health, spec: RepairSpec) -> None:
    """Call people once the budget is used up; the message is not repeated for a while."""
    if not repairs.used_up(
        patient.store, patient.plan.migration, issue=found.issue, system=found.system,
        attempts=spec.attempts, now=clock.now(),
    ):
        return
    messages.put(
        patient.store, patient.plan.migration, key=f"escalation {found.issue} {found.system}",
        severity="critical", title=f"{name} of {patient.plan.migration} needs a person",
        body=f"{found.detail}. {spec.attempts} repairs in an hour did not help.", now=clock.now())


def _told(done: Repair) -> str:
    word = "repaired" if done.status == repairs.DONE else "not repaired"
    return f"{word} {done.issue} of {done.system} in attempt {done.attempt}: {done.detail}"
