"""What health checks found, what was repaired, and which services gave a sign of life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How well something is; a later one is worse."""

    HEALTHY = "healthy"
    WARNING = "warning"
    UNHEALTHY = "unhealthy"
    CRITICAL = "critical"
    ERROR = "error"  # the check itself broke: nobody knows


@dataclass(frozen=True, slots=True)
class HealthResult:
    """One health check's result."""

    migration: str
    at: datetime
    check: str
    status: Status
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of a service (observer, supervisor, gateway) or a flow run.

    `machine` says where `pid` is a process (`machine.identity`); empty: where the reader is.
    """

    service: str
    at: datetime
    pid: int
    detail: str = ""
    machine: str = ""


SILENT_AFTER = timedelta(seconds=20)
"""A service without a sign of life for longer is silent."""
FLOW_SIGN_SECONDS = 4.0
"""How often a process that carries a flow run gives a sign, where others than its machine watch."""
FORGOTTEN_AFTER = timedelta(hours=24)
"""What compared at a node and was silent for longer is gone, as the node is."""
_PATIENCE = {"shadow": timedelta(seconds=90)}


def patience_with(service: str) -> timedelta:
    """Return how long a service may be silent before somebody is needed.

    The shadow leaves the processor to everyone else: on a busy machine it is silent for long.
    """
    # that of another machine has the machine's name behind it
    return _PATIENCE.get(service.partition(" ")[0], SILENT_AFTER)


def is_forgotten(beat: Heartbeat, now: datetime) -> bool:
    """Whether a sign is of a node's shadow service that was silent for so long that it is gone.

    Args:
        beat: The sign, with its service's plain name, as `shadow edge-1`.
        now: The present moment.
    """
    return beat.service.startswith("shadow ") and now - beat.at > FORGOTTEN_AFTER


class RepairStatus(StrEnum):
    """How an attempt to repair something stands."""

    RUNNING = "running"
    DONE = "done"  # the check was good afterwards
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Repair:
    """One attempt to repair something."""

    id: int
    migration: str
    issue: str
    system: str
    attempt: int
    status: RepairStatus
    detail: str
    started_at: datetime
    ended_at: datetime | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """Somebody wants to repair something.

    Args:
        issue: What is to be repaired.
        system: Whose repair it is; never two at once.
        attempts: Most attempts in an hour, whether they helped or not.
        backoff: Wait after the first attempt began; it doubles with each.
        lease: Longest time that the attempt may take; one that has not ended then was killed and
            counts as failed.
        actor: Who repairs.
    """

    issue: str
    system: str
    attempts: int
    backoff: timedelta
    lease: timedelta
    actor: str = "health-check/main"


class Why(StrEnum):
    """Why no attempt may begin now."""

    BUSY = "busy"  # another one on the same system is under way
    WAIT = "wait"  # the time since the last one is too short
    BUDGET = "budget"  # all attempts of the hour are used up: a person is needed


@dataclass(frozen=True, slots=True)
class Declined:
    """No attempt was begun; `last` is the newest one, for saying once that people are needed."""

    why: Why
    reason: str
    last: int = 0
