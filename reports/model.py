"""The view model: everything that a report shows, as frozen values. Pure.

Values are in base units: shares 0..1, seconds, bytes, buckets (0..10_000); times are aware UTC.
Rows that the store hands out as frozen records (verdicts, approvals, firings) are used as they are.
The field names are the keys of the JSON report, see `reports.as_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from changeover.analysis.window import Window
from changeover.domain.event_words import MarkKind, Tone
from changeover.domain.procedures import Step
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback, TriggerFiring
from changeover.domain.rollout import Approval, Cutover, GateVerdict
from changeover.plan.metrics import METRICS, Source
from changeover.plan.statuses import WITH_STATUS
from changeover.shadow.findings import Findings
from reports.check_series import CheckSeries, Decided
from reports.counts import counts
from reports.outcomes import OutcomeFigures
from reports.procedure import Procedure

SYSTEMS = ("baseline", "candidate")
OF_SYSTEMS = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS)
"""Where figures of one system come from; comparisons and outcomes have sections of their own."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The report's first sentence.

    Args:
        status: `promoted`, `rolled_back`, `running`, `failed`, or `none` without a cutover.
        word: The status for people.
        sentence: What happened and why.
        decided_by: Names of the people, triggers or services that decided; may be empty.
        started_at: When the cutover began.
        ended_at: When it ended, None while it runs.
        seconds: How long it took, or runs already.
    """

    status: str
    word: str
    sentence: str
    decided_by: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one system in [start, end).

    Every count and metric comes from the window, so that a new one needs no line here.

    Args:
        system: `baseline` or `candidate`.
        name: The name that people gave it.
        window: Its measurements; requests are those meant for it, also those that the gateway
            saved by asking the other system.
    """

    system: str
    name: str
    start: datetime
    end: datetime
    window: Window

    @property
    def failed(self) -> int:
        """Requests that the system failed, also those that users did not notice."""
        return sum(self.window.errors.values())

    def value(self, metric: str) -> float | None:
        """Return a metric in base units; None when there was nothing to measure."""
        return self.window.measure(metric).value

    def as_data(self) -> dict[str, Any]:
        """Return the system, its counts by their names in `Measurements`, and all metrics."""
        metrics = {}
        for name, metric in METRICS.items():
            # without the statuses that a check names it has no value
            if metric.source in OF_SYSTEMS and name not in WITH_STATUS:
                metrics[name] = self.value(name)
        return {"system": self.system, "name": self.name, "start": self.start, "end": self.end,
                **counts(self.window), "metrics": metrics}


@dataclass(frozen=True, slots=True)
class Outage:
    """What users noticed, counted in spans of the finest stored samples.

    Args:
        requests: All requests of users.
        user_errors: Of those, answered 5xx or not at all.
        seconds_with_errors: Time in which at least one user saw an error.
        down_seconds: Time in which requests came and not one was answered well.
        resolution_seconds: Length of the coarsest span counted: 1, or 60 where only minutes are
            stored.
    """

    requests: int
    user_errors: int
    seconds_with_errors: int
    down_seconds: int
    resolution_seconds: int


@dataclass(frozen=True, slots=True)
class Keyless:
    """Requests without a user's key.

    Args:
        requests: All requests of users.
        keyless: Of those, without a key.
        share: Their share, 0..1; None without requests.
        fate: What becomes of them by the plan, in words.
    """

    requests: int
    keyless: int
    share: float | None
    fate: str


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the charts: `seconds` of time from `at`. None where nothing was measured."""

    at: datetime
    seconds: float
    requests: int
    user_errors: int
    errors: int
    error_rate: float | None
    latency_p95_seconds: float | None
    request_rate: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class OutcomePoint:
    """One point of the charts of reported outcomes: `seconds` of time from `at`."""

    at: datetime
    seconds: float
    outcomes: int
    outcome_rate: float
    outcome_error_rate: float | None
    outcome_duration_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class WeightStep:
    """From `at` on, `weight` buckets (0..10_000) of users belonged to the candidate."""

    at: datetime
    weight: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A decision as a vertical line in the charts."""

    at: datetime
    kind: MarkKind
    label: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline, made of one audit event, or of `count` alike in a row."""

    seq: int
    at: datetime
    kind: str
    title: str
    detail: str
    actor: str
    tone: Tone
    stage: str | None = None
    count: int = 1


class StageStanding(StrEnum):
    """How a stage of the plan stands in a report."""

    TO_COME = "to_come"
    SOAKING = "soaking"
    WAITING = "waiting"
    PROMOTED = "promoted"
    SKIPPED = "skipped"
    ROLLED_BACK = "rolled_back"
    UNFINISHED = "unfinished"  # the cutover ended without deciding it


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage of the plan and what became of it.

    Args:
        key: Its name in the store.
        title: Its name for people.
        status: How it stands.
        weight: Buckets (0..10_000) of users that go to the candidate.
        soak_seconds: Its least time.
        approvers: How many people must agree before it is left.
        may: Who may, by the plan; empty: anybody.
        seconds: Time spent in it so far; None before it was entered.
        figures: What was measured in it, baseline first; empty before it was entered.
        evaluations: Every verdict of its gates, in order.
        approvals: Every question to people about it, in order.
        routes: The routes that it moves, to `weight`; empty: everything else.
    """

    key: str
    title: str
    index: int
    status: StageStanding
    weight: int
    segments: tuple[str, ...]
    soak_seconds: float
    gates: tuple[str, ...]
    approvers: int
    may: str = ""
    round: int = 0
    rechecks: int = 0
    entered_at: datetime | None = None
    soak_until: datetime | None = None
    decided_at: datetime | None = None
    seconds: float | None = None
    decision: str = ""
    reason: str = ""
    figures: tuple[Figures, ...] = ()
    evaluations: tuple[GateVerdict, ...] = ()
    approvals: tuple[Approval, ...] = ()
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route of the plan: which requests it has, in words; `percent` of its users, who were on the
    candidate when this was written, and why; what was measured, baseline first; points of its
    charts by system, for the first routes only.
    """

    route: str
    requests: str
    percent: float
    stands: str
    figures: tuple[Figures, ...]
    series: Mapping[str, tuple[Point, ...]]


@dataclass(frozen=True, slots=True)
class RollbackView:
    """A rollback, its steps, and what a person must do now, one sentence each."""

    record: Rollback
    steps: tuple[Step, ...]
    must_do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditView:
    """The audit chain; intact when `problems` is empty."""

    events: int
    head_hash: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report says.

    Its numbers cover [start, end); charts and timeline reach to `chart_end`, a little further.
    """

    migration: str
    subject: Literal["cutover", "status"]
    generated_at: datetime
    changeover_version: str
    systems: Mapping[str, str]
    headline: Headline
    cutover: Cutover | None
    routing: str
    start: datetime
    end: datetime
    chart_end: datetime
    outage: Outage
    figures: tuple[Figures, ...]
    stages: tuple[StageView, ...]
    timeline: tuple[Moment, ...]
    marks: tuple[Mark, ...]
    weights: tuple[WeightStep, ...]
    series: Mapping[str, tuple[Point, ...]]
    firings: tuple[TriggerFiring, ...]
    rollbacks: tuple[RollbackView, ...]
    publications: tuple[Publication, ...]
    audit: AuditView
    plan: Mapping[str, Any]
    differences: Findings | None = None
    procedure: Procedure | None = None
    outcomes: tuple[OutcomeFigures, ...] = ()
    triggers: tuple[Mapping[str, Any], ...] = ()
    group: Mapping[str, Any] | None = None
    way_back: str = ""
    """Whether a rollback would fit, while something has made the baseline smaller."""
    checks: tuple[CheckSeries, ...] = ()
    """Every check over time against its bound."""
    keyless: Keyless | None = None
    """Requests that no split could decide about."""
    routes: tuple[RouteView, ...] = ()
    decided: tuple[Decided, ...] = ()
    """When each check of each stage would have passed or failed."""
    outcome_series: Mapping[str, tuple[OutcomePoint, ...]] = field(default_factory=dict)
    """Of each system; empty where nothing was reported."""

    @property
    def is_by_outcomes(self) -> bool:
        """Whether applications report more than the gateway sees: users do not come through it."""
        return sum(each.outcomes for each in self.outcomes_of_all.values()) > self.outage.requests

    @property
    def outcomes_of_all(self) -> dict[str, OutcomeFigures]:
        """Return what was reported of each system, of all users."""
        return {each.system: each for each in self.outcomes if not each.segment}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which question people are asked: about leaving a stage of a cutover.

    Args:
        cutover_id: The cutover.
        stage: Key of the stage that is to be left.
        reason: Why they are asked: the gate's result.
        ordinal: Which of the stage's approvers this is, from 1.
    """

    cutover_id: int
    stage: str
    reason: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked before a stage is left; see `tables.stage_question_markdown`.

    Args:
        reason: Why they are asked: the gate's result.
        ordinal: Which of the stage's approvers this is, from 1.
        next_title: The stage after it; None when promoting ends the cutover.
        next_weight: Buckets of users on the candidate after promoting.
        next_segments: Segments on the candidate after promoting.
        next_routes: The routes that promoting moves; empty: everything else.
        next_soak_seconds: Least time in the next stage.
        warnings: What else to know before answering, one sentence each.
        way_back: Whether a rollback would fit, one sentence; empty when it says nothing.
    """

    migration: str
    systems: Mapping[str, str]
    stage: StageView
    reason: str
    ordinal: int
    next_title: str | None
    next_weight: int
    next_segments: tuple[str, ...]
    next_soak_seconds: float
    warnings: tuple[str, ...]
    way_back: str = ""
    next_routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a cutover stands, for the progress artifact; see `tables.progress_markdown`."""

    migration: str
    systems: Mapping[str, str]
    headline: Headline
    routing: str
    stages: tuple[StageView, ...]
    figures: tuple[Figures, ...]
