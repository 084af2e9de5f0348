"""Carrying a rollback's steps: by one run at a time, each once, and none holds up the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from changeover import clock
from changeover.domain.procedures import Step, StepStatus, of_rollback
from changeover.domain.rollbacks import Rollback
from changeover.errors import CarriedElsewhere, ChangeoverError, StoreError
from changeover.store import rollbacks, steps
from tasks.runtime import Runtime, root_run_id, runtime_of
from tasks.steps import step

LEASE = timedelta(minutes=2)
"""A run that says nothing for this long, beyond what it does, may be replaced by another."""


@step(name="take over rollback")
def take_over(migration: str, rollback_id: int) -> None:
    """Acquire the lease on the remaining rollback steps for this flow run.

    Raises:
        CarriedElsewhere: Another run carries them.
    """
    rollbacks.acquire_lease(
        runtime_of(migration).store, rollback_id, flow_run_id=str(root_run_id()), lease=LEASE,
        now=clock.now())


def hold(runtime: Runtime, rollback_id: int, *, busy_for: timedelta = timedelta(0)) -> None:
    """Renew the lease on the remaining steps, for work that takes as long as `busy_for`.

    Raises:
        CarriedElsewhere: This run stood still for so long that another took over.
    """
    if record_of(runtime, rollback_id).flow_run_id is None:
        return  # nobody took it over, so nobody can have lost it
    rollbacks.acquire_lease(
        runtime.store, rollback_id, flow_run_id=str(root_run_id()), lease=LEASE + busy_for,
        now=clock.now())


def carry_out(
    runtime: Runtime, rollback_id: int, number: int, name: str, action: Callable[[], str]
) -> str:
    """Run a step once; keep its result, also when it failed or broke, and go on.

    Raises:
        CarriedElsewhere: Another run carries the steps.
        StoreError: Passing trouble: the task is tried again.
    """
    known = steps.one(runtime.store, runtime.migration, of_rollback(rollback_id), name)
    if known is not None and known.status is StepStatus.DONE:
        return known.detail
    hold(runtime, rollback_id)
    began = clock.now()
    try:
        detail, status = action(), "done"
    except (StoreError, CarriedElsewhere):
        raise
    except ChangeoverError as error:
        detail, status = str(error), "failed"
    except Exception as error:  # noqa: BLE001  a fault in one step must not end the way back
        detail, status = broke(error), "failed"
    keep(runtime, rollback_id, number, name, status, detail, began)
    return detail


def broke(error: Exception) -> str:
    """Return what a step that broke is told as."""
    return f"it broke: {type(error).__name__}: {str(error)[:300]}"


def keep(
    runtime: Runtime, rollback_id: int, number: int, name: str, status: str, detail: str,
    began: datetime,
) -> None:
    """Keep a step's result."""
    steps.save(runtime.store, Step(
        runtime.migration, of_rollback(rollback_id), name, StepStatus(status), detail, began,
        clock.now(), number=number))


def record_of(runtime: Runtime, rollback_id: int) -> Rollback:
    """Return the rollback's record."""
    return next(
        found for found in rollbacks.all_of(runtime.store, runtime.migration)
        if found.id == rollback_id
    )
