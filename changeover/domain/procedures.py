"""Steps of procedures: of a cutover, a rollback, a rehearsal, a retirement."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class StepStatus(StrEnum):
    """What came of a step."""

    BEGUN = "begun"  # nobody knows yet how far it came
    DONE = "done"  # never done again
    FAILED = "failed"  # done again when the procedure goes on


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a procedure and what came of it.

    `subject` names the procedure: `cutover-7`, `rollback-3`. `number` is the step's place where
    the procedure counts its steps (1 routes, 2 clean-up, 3 restore, 4 analysis, 5 verification of
    a rollback), 0 otherwise.
    """

    migration: str
    subject: str
    name: str
    status: StepStatus
    detail: str
    started_at: datetime
    ended_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    number: int = 0


def of_cutover(cutover_id: int) -> str:
    """Return the name under which a cutover's steps are saved."""
    return f"cutover-{cutover_id}"


def failed_routes_step(stage: str, round_: int, rechecks: int) -> str:
    """Return the name of the step that says which routes go back after an evaluation."""
    return f"failed routes of {stage} {round_}.{rechecks}"


def routes_back_step(stage: str, round_: int, rechecks: int) -> str:
    """Return the name of the step that says that those routes are back."""
    return f"routes back of {stage} {round_}.{rechecks}"


def due_again_step(stage: str, round_: int) -> str:
    """Return the name of the step that says that a stage's users come again after a round."""
    return f"users of {stage} come again {round_}"


def again_step(stage: str, round_: int) -> str:
    """Return the name of the step that gives a stage its share again after a round."""
    return f"users of {stage} again {round_}"


def again_steps(stage: str, rounds: int) -> list[str]:
    """Return the names of both, of every round before the last of so many."""
    return [name(stage, each) for each in range(1, rounds)
            for name in (due_again_step, again_step)]


def of_rollback(rollback_id: int) -> str:
    """Return the name under which a rollback's steps are saved."""
    return f"rollback-{rollback_id}"
