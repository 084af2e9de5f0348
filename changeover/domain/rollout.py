"""Cutovers, their stages, the verdicts of gates and the approvals of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from changeover.domain.verdict import Verdict


class CutoverStatus(StrEnum):
    """How a cutover stands. Only `running` is open; the others are final.

    `stopped`: a person ended it where it was, when no flow run carried it on any more.
    """

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    STOPPED = "stopped"


class StageAction(StrEnum):
    """What happens to a stage next."""

    PROMOTE = "promote"  # go to the next stage
    ASK = "ask"  # ask people
    REVIEW = "review"  # people look at it while it soaks
    WAIT = "wait"  # evaluate it again later
    HOLD = "hold"  # a person wants another soak
    ROLLBACK = "rollback"  # everyone back to the baseline
    SUPERSEDED = "superseded"  # a rollback came first


ANSWERS = (StageAction.PROMOTE, StageAction.HOLD, StageAction.ROLLBACK)
"""What people may decide."""


class StageStatus(StrEnum):
    """How a stage of a cutover stands."""

    SOAKING = "soaking"  # traffic is there, the soak has not ended or the gate is not judged
    WAITING = "waiting"  # the gate is judged, people are asked
    PROMOTED = "promoted"
    SKIPPED = "skipped"  # people left it out
    ROLLED_BACK = "rolled_back"


PASSED = (StageStatus.PROMOTED, StageStatus.SKIPPED)
"""The next stage follows."""


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
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """A stored verdict of a gate with everything a person needs to recompute it.

    `evidence` holds one mapping per check: metric, of, bound, value, baseline_value, samples,
    window_start, window_end, verdict, reason. `id` is 0 until it is stored.
    """

    cutover_id: int
    stage: str
    gate: str
    round: int
    attempt: int
    verdict: Verdict
    reason: str
    at: datetime
    evidence: list[dict[str, Any]] = field(default_factory=list)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a gate would say now, while its stage soaks; it decides nothing.

    `evidence` holds one mapping per check, as in `GateVerdict`.
    """

    cutover_id: int
    stage: str
    gate: str
    at: datetime
    verdict: Verdict
    reason: str
    evidence: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to people and, once given, the answer.

    `ordinal` counts approvers from 1; `flow_run_id` is Prefect's run that waits for the answer.
    `id` is 0 until it is stored.
    """

    cutover_id: int
    stage: str
    round: int
    ordinal: int
    epoch: int
    question: str
    asked_at: datetime
    decision: StageAction | None = None
    approver: str | None = None
    comment: str = ""
    source: str = ""
    answered_at: datetime | None = None
    is_void: bool = False
    flow_run_id: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to a question.

    Args:
        decision: `promote`, `hold` or `rollback`.
        approver: Who.
        comment: Why; may be empty.
        source: Where it was given: `prefect` or `cli`.
        code: What shows who gives it; see `changeover.store.approver_codes`.
        form: Name of the form; a form that is read again after a kill is the same.
    """

    decision: StageAction
    approver: str
    comment: str = ""
    source: str = "prefect"
    code: str = field(default="", repr=False)
    form: str = ""
