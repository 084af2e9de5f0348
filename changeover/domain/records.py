"""What the store hands out: frozen records, independent of SQLAlchemy rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class CutoverStatus(StrEnum):
    """How a cutover stands. Only `running` is open; the others are final.

    `stopped`: a person ended it where it was, when no flow run carried it on any more.
    """

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    STOPPED = "stopped"


class StageStatus(StrEnum):
    """How a stage of a cutover stands."""

    SOAKING = "soaking"  # traffic is there, the soak has not ended or the gate is not judged
    WAITING = "waiting"  # the gate is judged, people are asked
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link of the hash chain. `seq` counts from 1 without gaps within a migration."""

    migration: str
    seq: int
    at: datetime
    actor: str
    kind: str
    data: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Cutover:
    """One run of the cutover SOP. `epoch` is the routing state's when it began."""

    id: int
    migration: str
    epoch: int
    status: CutoverStatus
    flow_run_id: str | None
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage of one cutover. `soak_until` moves when a person holds the stage.

    `round` counts the soaks of the stage from 1; a hold begins the next round.
    """

    cutover_id: int
    key: str
    index: int
    status: StageStatus
    entered_at: datetime
    soak_until: datetime
    round: int = 1
    rechecks: int = 0
    decided_at: datetime | None = None
    decision: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """A stored verdict of a gate with everything a person needs to recompute it.

    `evidence` holds one mapping per check: metric, of, bound, value, baseline_value, samples,
    window_start, window_end, verdict, reason.
    """

    id: int
    cutover_id: int
    stage: str
    gate: str
    round: int
    attempt: int
    verdict: str
    reason: str
    at: datetime
    evidence: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to people and, once given, the answer.

    `ordinal` counts approvers from 1; `flow_run_id` is Prefect's run that waits for the answer.
    """

    id: int
    cutover_id: int
    stage: str
    round: int
    ordinal: int
    epoch: int
    question: str
    asked_at: datetime
    decision: str | None = None
    approver: str | None = None
    comment: str = ""
    source: str = ""
    answered_at: datetime | None = None
    is_void: bool = False
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class TriggerFiring:
    """A trigger whose condition held for its whole duration, and what was done."""

    id: int
    migration: str
    trigger: str
    action: str
    reason: str
    evidence: dict[str, Any]
    evidence_complete_at: datetime
    fired_at: datetime
    epoch: int
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """One rollback; at most one per migration and epoch. `epoch` is the one it created.

    `is_handed_over` says that a `rollback/main` flow run was started for it, `flow_run_id` which
    one carries it; until `lease_until` no other may.
    """

    id: int
    migration: str
    epoch: int
    reason: str
    severity: str
    scope: str
    actor: str
    started_at: datetime
    cutover_id: int | None = None
    ended_at: datetime | None = None
    status: str = "running"  # running | completed | needs_person
    flow_run_id: str | None = None
    is_handed_over: bool = False
    lease_until: datetime | None = None
    analysis: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RollbackStep:
    """One of the SOP's steps: 1 routes, 2 clean-up, 3 restore, 4 analysis, 5 verification."""

    rollback_id: int
    number: int
    name: str
    status: str  # done | failed
    detail: str
    started_at: datetime
    ended_at: datetime


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
class Publication:
    """An attempt to bring a routing state to the gateway."""

    migration: str
    epoch: int
    version: int
    at: datetime
    is_confirmed: bool
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of a service (observer, supervisor, gateway)."""

    service: str
    at: datetime
    pid: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A rendered report's files. `subject` is `cutover`, `rollback` or `status`."""

    migration: str
    subject: str
    cutover_id: int | None
    at: datetime
    html_path: str
    markdown_path: str
    json_path: str
