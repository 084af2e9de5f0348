"""A rollback in steps: how many users are left to the candidate at each moment. Pure.

A cold baseline may not bear everyone at once. What is due follows from the stored start and the
clock alone, so whoever carries it on after a kill does what would have been done without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from changeover.domain.routing import BUCKETS, Change, Mode, RoutingState

KEY = "return"
"""Under it the schedule stands in the audit event that began the rollback."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to the candidate: buckets of all users, and of the moved segments' users."""

    weight: int
    segment_weight: int


@dataclass(frozen=True, slots=True)
class Return:
    """A return of users in equal steps: the first at the start, the last when `over` has passed.

    Those with the highest buckets go first: they came last.

    Args:
        start: When the first users returned.
        over: How long it takes until the last ones do.
        steps: How many steps there are, at least 2.
        weight: Buckets that were the candidate's before the first step.
    """

    start: datetime
    over: timedelta
    steps: int
    weight: int

    @property
    def end(self) -> datetime:
        """When the last users return."""
        return self.start + self.over

    def due_at(self, step: int) -> datetime:
        """Return when a step, counted from 1, is due."""
        return self.start + self.over * (step - 1) / (self.steps - 1)

    def step_at(self, now: datetime) -> int:
        """Return the newest step that is due, from 1; 1 as well for a clock that was set back."""
        due = [step for step in range(1, self.steps + 1) if self.due_at(step) <= now]
        return max(due, default=1)

    def left_after(self, step: int) -> Left:
        """Return what is left to the candidate after a step; nothing after the last one."""
        left = self.steps - step
        return Left(self.weight * left // self.steps, BUCKETS * left // self.steps)

    def change_at(self, state: RoutingState, now: datetime) -> Change | None:
        """Return the change that is due; None when there is none. Nobody is ever moved again.

        Args:
            state: The present routing state: `returning`, or that before the first step.
            now: The present moment.
        """
        step = self.step_at(now)
        if state.mode is Mode.EMERGENCY_ROLLBACK:
            return None
        if step == self.steps:
            return Change(mode=Mode.EMERGENCY_ROLLBACK, expected_epoch=state.epoch)
        left = self.left_after(step)
        is_done = state.weight <= left.weight and state.segment_weight <= left.segment_weight
        if state.mode is Mode.RETURNING and is_done:
            return None
        return Change(
            mode=Mode.RETURNING, weight=left.weight, segment_weight=left.segment_weight,
            expected_epoch=state.epoch)

    def document(self) -> dict[str, Any]:
        """Return it for the audit event of the start, which has the start itself."""
        seconds = self.over.total_seconds()
        return {"weight": self.weight, "steps": self.steps, "over_seconds": seconds}


def of_document(start: datetime, document: Mapping[str, Any]) -> Return:
    """Return the schedule that `document` describes."""
    return Return(
        start, timedelta(seconds=float(document["over_seconds"])), int(document["steps"]),
        int(document["weight"]))
