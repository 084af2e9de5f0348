"""What health checks found, what was repaired, and which services gave a sign of life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class HealthResult:
    """One health check's result. `status`: healthy, warning, unhealthy, critical or error."""

    migration: str
    at: datetime
    check: str
    status: str
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of a service (observer, supervisor, gateway)."""

    service: str
    at: datetime
    pid: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """One attempt: `running`, `done` (the check was good afterwards) or `failed`."""

    id: int
    migration: str
    issue: str
    system: str
    attempt: int
    status: str
    detail: str
    started_at: datetime
    ended_at: datetime | None
    lease_until: datetime | None


class Why(StrEnum):
    """Why no attempt may begin now."""

    BUSY = "busy"  # another one on the same system is under way
    WAIT = "wait"  # the time since the last one is too short
    BUDGET = "budget"  # all attempts of the hour are used up: people must look


@dataclass(frozen=True, slots=True)
class Declined:
    """No attempt was begun; `last` is the newest one, for saying once that people are needed."""

    why: Why
    reason: str
    last: int = 0
