"""A procedure and its step log: each step once, by one flow run at a time, whoever is killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from changeover import clock
from changeover.domain.procedures import Step, StepStatus, of_cutover, of_rollback
from changeover.domain.rollbacks import Rollback
from changeover.domain.rollout import Cutover
from changeover.domain.routing import RoutingState
from changeover.errors import (
    CarriedElsewhere,
    ChangeoverError,
    PublishFailed,
    StaleEpoch,
    StoreError,
)
from changeover.site.site import Site
from changeover.store import carriers, cutovers, rollbacks, routing, steps

LEASE = timedelta(minutes=2)
"""A run that says nothing for this long, beyond what it does, may be replaced by another."""

Found = tuple[str, dict[str, Any]]
"""What a step says for people, and its data."""


class Procedure:
    """A procedure of a migration, and the flow run that carries it out.

    Not a dataclass: Prefect copies the dataclasses that a task is given, field by field.

    Args:
        site: The migration.
        subject: The name under which the steps are saved: `cutover-7`.
        flow_run_id: The run that carries it out; None outside of Prefect.
    """

    def __init__(self, site: Site, subject: str, flow_run_id: str | None = None) -> None:
        self.site, self.subject, self.flow_run_id = site, subject, flow_run_id

    @property
    def migration(self) -> str:
        """Name of the migration."""
        return self.site.migration

    def known(self, name: str) -> Step | None:
        """Return a step's result, None before it was carried out."""
        return steps.one(self.site.store, self.migration, self.subject, name)

    def once(self, name: str, action: Callable[[], Found]) -> Step:
        """Return the result of a step: the one that is known, or that of doing it now.

        1. A step that is done is not done again. 2. A step that failed is: the cause may be
        mended. 3. A kill between the action and its record repeats the action, which must
        therefore find what it did before (`make_backup` returns a finished backup, flags that are
        set stay set).

        Raises:
            StoreError, PublishFailed: Passing trouble: the task is tried again.
            StaleEpoch: A rollback came meanwhile: the procedure is over.
            CarriedElsewhere: Another run carries the procedure.
        """
        known = self.known(name)
        if known is not None and known.status is StepStatus.DONE:
            return known
        began = clock.now()
        try:
            (detail, data), status = action(), StepStatus.DONE
        except (StoreError, PublishFailed, StaleEpoch, CarriedElsewhere):
            raise
        except ChangeoverError as error:
            detail, data, status = str(error), {}, StepStatus.FAILED
        return self.save(name, status, detail, data=data, began=began)

    def save(
        self, name: str, status: StepStatus, detail: str, *, data: dict[str, Any] | None = None,
        began: datetime | None = None,
    ) -> Step:
        """Save what came of a step; one that is done stays done."""
        now = clock.now()
        return steps.save(self.site.store, Step(
            self.migration, self.subject, name, status, detail, began or now, now, data or {},
            self._number(name)))

    def _number(self, name: str) -> int:
        """Return a step's place; 0 where the order is that of time."""
        return 0


class CutoverRun(Procedure):
    """A cutover, and the flow run that carries it out."""

    def __init__(self, site: Site, cutover: Cutover, flow_run_id: str | None = None) -> None:
        super().__init__(site, of_cutover(cutover.id), flow_run_id)
        self.id, self.epoch, self.began_at = cutover.id, cutover.epoch, cutover.started_at

    @property
    def record(self) -> Cutover:
        """The cutover as the store has it now."""
        return cutovers.get(self.site.store, self.id)

    @property
    def carried_by(self) -> tuple[str, str] | None:
        """What must hold when traffic moves: this run carries the cutover."""
        if self.flow_run_id is None:
            return None
        return cutovers.subject(self.id), self.flow_run_id

    def refuse_other_run(self) -> None:
        """Check that this run is the one that carries the cutover.

        Raises:
            CarriedElsewhere: Another does, or this one was cancelled and only its process lives.
        """
        # outside of Prefect (a rehearsal by hand, tests) nobody else could carry it
        if self.flow_run_id is not None:
            known = carriers.one(self.site.store, self.migration, cutovers.subject(self.id))
            carriers.refuse_other(known, self.flow_run_id)

    def current_state(self) -> RoutingState:
        """Return the routing state.

        Raises:
            StaleEpoch: A rollback came after the cutover began; it may change nothing more.
            CarriedElsewhere: Another flow run carries the cutover by now.
        """
        self.refuse_other_run()
        state = routing.read(self.site.store, self.migration)
        # exactly, not less: every rollback since then ended this cutover
        if state.epoch != self.epoch:
            raise StaleEpoch(
                f"not continued because a rollback came first (epoch {state.epoch}, "
                f"cutover {self.id} began in epoch {self.epoch})",
                where=f"migration {self.migration}")
        return state


class RollbackRun(Procedure):
    """The steps of a rollback that follow the traffic, and the flow run that has their lease.

    A step that breaks, whatever the fault, is saved as failed and the next one follows.
    """

    STEPS = ("safe flags and routes", "clean up", "restore", "analysis", "verify")
    UNDO = "undo hooks"
    """A part of step 3, where hooks of stages have something to undo."""

    def __init__(self, site: Site, rollback_id: int, flow_run_id: str | None = None) -> None:
        super().__init__(site, of_rollback(rollback_id), flow_run_id)
        self.id = rollback_id

    @property
    def record(self) -> Rollback:
        """The rollback as the store has it now."""
        return rollbacks.get(self.site.store, self.id)

    def renew_lease(self, *, busy_for: timedelta = timedelta(0)) -> None:
        """Acquire or renew the lease on the remaining steps, for what takes `busy_for`.

        Raises:
            CarriedElsewhere: Another run has it: this one stood still for too long.
        """
        if self.flow_run_id is None:
            return  # outside of Prefect nobody else carries the steps
        rollbacks.acquire_lease(
            self.site.store, self.id, flow_run_id=self.flow_run_id, lease=LEASE + busy_for,
            now=clock.now())

    def once(self, name: str, action: Callable[[], Found]) -> Step:
        """Return the result of a step, done now or before; failed, also when it broke.

        Raises:
            CarriedElsewhere: Another run carries the steps.
            StoreError: Passing trouble: the task is tried again.
        """
        def locked() -> Found:
            self.renew_lease()
            try:
                return action()
            except ChangeoverError:
                raise
            except Exception as error:  # a fault in one step must not end the way back
                raise ChangeoverError(broke(error)) from error

        return super().once(name, locked)

    def _number(self, name: str) -> int:
        return self.STEPS.index("restore" if name == self.UNDO else name) + 1


def broke(error: Exception) -> str:
    """Return the text for a step that broke."""
    return f"it broke: {type(error).__name__}: {str(error)[:300]}"
