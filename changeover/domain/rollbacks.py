"""Triggers: how they stand, and which fired; and rollbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from changeover.domain.audit import Author
from changeover.plan.triggers import TriggerAction


@dataclass(frozen=True, slots=True)
class TriggerFiring:
    """A trigger whose condition held for its whole duration, and what was done.

    `id` is 0 until it is stored.
    """

    migration: str
    trigger: str
    action: TriggerAction
    reason: str
    evidence: dict[str, Any]
    evidence_complete_at: datetime
    fired_at: datetime
    epoch: int
    published_at: datetime | None = None
    id: int = 0


    @property
    def did(self) -> str:
        """What was done, in words: `rollback`, or `rollback of segment:beta`."""
        scope = self.evidence.get("scope")
        return f"{self.action} of {scope}" if scope else str(self.action)


def scope_of(segment: str) -> str:
    """Return the scope of a rollback of one segment's users: `segment:beta`."""
    return f"segment:{segment}"


def scope_of_route(route: str) -> str:
    """Return the scope of a rollback of one route of the traffic: `route:orders`."""
    return f"route:{route}"


def is_of_route(scope: str) -> bool:
    """Whether a scope is one route's."""
    return scope.startswith("route:")


class Stands(StrEnum):
    """How a trigger stands."""

    ARMED = "armed"  # nothing is wrong, or nothing is known
    HOLDING = "holding"  # its condition is true, but not for the whole of `for` yet
    FIRING = "firing"  # it fired, and is not over
    CLEARED = "cleared"  # it fired and was over; it may fire again


@dataclass(frozen=True, slots=True)
class TriggerStanding:
    """How a trigger stands.

    Args:
        migration: Name of the migration.
        trigger: Name of the trigger.
        at: The end of the newest second that was judged.
        stands: How it stands.
        since: Since when; None when it never stood otherwise.
        value: The newest value in base units, if there is one.
        reason: One sentence with the numbers.
        evidence: What stands behind it.
        state: What the observer goes on from after a restart.
    """

    migration: str
    trigger: str
    at: datetime
    stands: Stands
    since: datetime | None
    value: float | None
    reason: str
    evidence: dict[str, Any]
    state: dict[str, Any]


class RollbackStatus(StrEnum):
    """How a rollback stands; everyone is at the baseline in each of them."""

    RUNNING = "running"
    COMPLETED = "completed"
    NEEDS_PERSON = "needs_person"  # a step failed


class RollbackSeverity(StrEnum):
    """How bad the reason of a rollback is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback; at most one per migration and epoch. `epoch` is the one it created.

    `is_handed_over` says that a `rollback/main` flow run was started for it, `flow_run_id` which
    one carries it; until `lease_until` no other may. `id` is 0 until it is stored.
    """

    migration: str
    epoch: int
    reason: str
    severity: RollbackSeverity
    scope: str
    actor: str
    started_at: datetime
    cutover_id: int | None = None
    ended_at: datetime | None = None
    status: RollbackStatus = RollbackStatus.RUNNING
    flow_run_id: str | None = None
    is_handed_over: bool = False
    lease_until: datetime | None = None
    analysis: dict[str, Any] = field(default_factory=dict)
    id: int = 0

    def was_begun_by(self, firing: TriggerFiring) -> bool:
        """Whether this firing took everyone back: it is noted with the epoch that it began."""
        return firing.did == TriggerAction.ROLLBACK and firing.epoch == self.epoch

    def was_led_to_by(self, firing: TriggerFiring) -> bool:
        """Whether this firing began the rollback, or fired in an epoch before it."""
        return self.was_begun_by(firing) or firing.epoch < self.epoch


@dataclass(frozen=True, slots=True)
class Cause(Author):
    """Who begins a rollback, why (one sentence with numbers), and how bad that is."""

    severity: RollbackSeverity = RollbackSeverity.HIGH
