"""Queries for `evidence`: spans, samples at the finest stored resolution, stages, rollbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from changeover.analysis.window import Sample, combine
from changeover.domain.approvers import rules_of
from changeover.domain.audit import AuditEvent
from changeover.domain.procedures import Step, StepStatus, of_cutover, of_rollback
from changeover.domain.rollbacks import Rollback, RollbackStatus
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.suites import SuiteRun
from changeover.domain.verdict import Verdict
from changeover.errors import InvalidInput
from changeover.plan.model import Plan, Stage
from changeover.store import (
    approvals,
    cutovers,
    gateway_seconds,
    outcome_series,
    rollbacks,
    samples,
    validations,
    verdicts,
)
from changeover.store import outcomes as reported
from changeover.store import steps as step_log
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from reports import measures, outcomes
from reports.model import (
    SYSTEMS,
    Figures,
    OutcomePoint,
    RollbackView,
    StageStanding,
    StageView,
)
from reports.outcomes import OutcomeFigures
from reports.procedure import Criterion, Procedure, ProcedureStep

HOURS_FROM = timedelta(hours=measures.POINTS)
"""Longer spans are read by the hour: a chart has as many points."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a report covers: numbers in [start, end), charts and timeline a little further."""

    start: datetime
    end: datetime
    chart_end: datetime


def system_names(plan: Plan) -> dict[str, str]:
    """Return the names that people gave the two systems."""
    return {"baseline": plan.systems.baseline.name, "candidate": plan.systems.candidate.name}


def find_cutover(store: Store, plan: Plan, cutover_id: int | None) -> Cutover | None:
    """Return the cutover with that id; None asks for the newest, which may not exist.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
    """
    if cutover_id is None:
        return cutovers.latest(store, plan.migration)
    cutover = cutovers.get(store, cutover_id)
    if cutover.migration != plan.migration:
        raise InvalidInput(
            f"cutover {cutover_id} belongs to migration {cutover.migration}, "
            f"the plan to {plan.migration}"
        )
    return cutover


def span_of(
    cutover: Cutover | None,
    events: Sequence[AuditEvent],
    rollbacks: Sequence[Rollback],
    now: datetime,
) -> Span:
    """Return the time that a report covers.

    A cutover's report reaches to the end of its rollback, and its charts show what came right
    after. Without a cutover it covers the migration from its first event to now.
    """
    if cutover is None:
        start = min([events[0].at if events else now, now])
        return Span(start, now, now)
    end = now
    # the report of a cutover that was undone ends with the rollback, which may run still
    if cutover.ended_at is not None and cutover.status != CutoverStatus.RUNNING:
        end = max([cutover.ended_at, *(rollback.ended_at or now for rollback in rollbacks)])
    end = max(min(end, now), cutover.started_at)
    # a twentieth: enough to see whether it got better, not so much that the cutover shrinks
    margin = (end - cutover.started_at) / 20
    margin = min(max(margin, timedelta(seconds=5)), timedelta(minutes=10))
    return Span(cutover.started_at, end, max(end, min(now, end + margin)))


def finest_samples(store: Store, plan: Plan, span: Span) -> dict[str, list[Sample]]:
    """Return each system's samples in the span: seconds where all are stored, else minutes.

    Of weeks they are hours, since a chart cannot show more. Never two lengths in one answer: they
    would overlap, and a chart of uneven spans jumps.
    """
    first, last = int(span.start.timestamp()), span.chart_end.timestamp()
    if last - first > HOURS_FROM.total_seconds():
        return _in_steps(store, plan, span, HOUR)
    minutes = _in_steps(store, plan, span, MINUTE)
    # longer than seconds are kept: the first of them are gone
    if last - first > plan.retention.seconds.total_seconds():
        return minutes
    seconds: dict[str, list[Sample]] = {system: [] for system in SYSTEMS}
    for sample in gateway_seconds.recent(store, plan.migration, since=span.start):
        # samples of comparisons, outcomes and the gateway lie beside the systems' own
        if sample.system in seconds and sample.at < last:
            seconds[sample.system].append(sample)
    is_complete = all(_reaches_back(seconds[s], minutes[s]) for s in SYSTEMS)
    return seconds if is_complete else minutes


def _reaches_back(seconds: Sequence[Sample], minutes: Sequence[Sample]) -> bool:
    """Whether no second was deleted that the first minute still counts."""
    if not minutes:
        return True
    return bool(seconds) and seconds[0].at < minutes[0].at + MINUTE


def _in_steps(
    store: Store, plan: Plan, span: Span, size: int
) -> dict[str, list[Sample]]:
    """Return each system's samples of whole minutes or hours, by their seconds."""
    first = int(span.start.timestamp()) // size * size
    count = max(1, -int(-(span.chart_end.timestamp() - first) // size))
    start = datetime.fromtimestamp(first, UTC)
    end = start + timedelta(seconds=count * size - 1)  # `series` then makes `count` whole steps
    found = {}
    for system in SYSTEMS:
        found[system] = samples.series(
            store, plan.migration, system, start=start, end=end, points=count)
    return found


def figures_of(store: Store, plan: Plan, start: datetime, end: datetime) -> tuple[Figures, ...]:
    """Return what was measured of both systems in [start, end), baseline first."""
    figures = []
    for system, name in system_names(plan).items():
        window = samples.window(store, plan.migration, system, start=start, end=end)
        figures.append(Figures(system, name, start, end, window))
    return tuple(figures)


def stage_views(
    store: Store, plan: Plan, cutover: Cutover | None, *, now: datetime, with_figures: bool = True
) -> tuple[StageView, ...]:
    """Return every stage of the plan with what became of it.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover: The cutover, if there is one.
        now: The present moment.
        with_figures: Whether each stage's measurements are wanted; they cost most.
    """
    plain = [_stage_to_come(plan, spec) for spec in plan.stages()]
    if cutover is None:
        return tuple(plain)
    records = {record.key: record for record in cutovers.stages(store, cutover.id)}
    evaluations = verdicts.all_of(store, cutover.id)
    asked = approvals.all_of(store, cutover.id)
    views = []
    for view in plain:
        if record := records.get(view.key):
            view = _entered(view, record, cutover, now)
            if with_figures:
                end = max(record.entered_at, record.decided_at or cutover.ended_at or now)
                view = replace(view, figures=figures_of(store, plan, record.entered_at, end))
        views.append(replace(
            view,
            evaluations=tuple(each for each in evaluations if each.stage == view.key),
            approvals=tuple(each for each in asked if each.stage == view.key),
        ))
    return tuple(views)


def _stage_to_come(plan: Plan, spec: Stage) -> StageView:
    return StageView(
        key=spec.key,
        title=spec.title,
        index=spec.index,
        status=StageStanding.TO_COME,
        weight=spec.split,
        segments=spec.segments,
        soak_seconds=spec.soak.total_seconds(),
        gates=spec.gates,
        approvers=spec.approvers,
        may=rules_of(plan, spec.key).text,
        routes=spec.routes,
    )


def _entered(view: StageView, record: StageRecord, cutover: Cutover, now: datetime) -> StageView:
    is_open = record.status in (StageStatus.SOAKING, StageStatus.WAITING)
    has_ended = cutover.status != CutoverStatus.RUNNING
    end = record.decided_at or cutover.ended_at or now
    return replace(
        view,
        status=StageStanding.UNFINISHED if is_open and has_ended
        else StageStanding(record.status),
        round=record.round,
        rechecks=record.rechecks,
        entered_at=record.entered_at,
        soak_until=record.soak_until,
        decided_at=record.decided_at,
        seconds=max(0.0, (end - record.entered_at).total_seconds()),
        decision="" if is_open else str(record.status),
        reason=record.reason,
    )


def rollbacks_of(store: Store, plan: Plan, cutover: Cutover | None) -> list[Rollback]:
    """Return the rollbacks of a cutover, also those that undid it before the next one began."""
    every = rollbacks.all_of(store, plan.migration)
    if cutover is None:
        return every
    later = []
    for other in cutovers.all_of(store, plan.migration):
        if other.id > cutover.id:
            later.append(other.started_at)
    next_start = min(later, default=None)
    found = []
    for rollback in every:
        began = rollback.started_at
        is_before_next = next_start is None or began < next_start
        # one without a cutover undid this one when it fell between its start and the next one's
        is_between = began >= cutover.started_at and is_before_next
        if rollback.cutover_id == cutover.id or (rollback.cutover_id is None and is_between):
            found.append(rollback)
    return found


def rollback_views(store: Store, records: Sequence[Rollback]) -> tuple[RollbackView, ...]:
    """Return rollbacks in order with their steps; only the newest says how it goes on."""
    return tuple(
        rollback_view(store, record, is_newest=record is records[-1]) for record in records)


def rollback_view(store: Store, record: Rollback, *, is_newest: bool) -> RollbackView:
    """Return a rollback with its steps and what a person must do."""
    steps = step_log.all_of(store, record.migration, of_rollback(record.id))
    return RollbackView(record, tuple(steps), _must_do(record, steps, is_newest))


def _must_do(
    record: Rollback, steps: Sequence[Step], is_newest: bool
) -> tuple[str, ...]:
    """Return what is left to people: failed steps, and the way back to a new cutover."""
    stated = record.analysis.get("a_person_must")
    # what the rollback's analysis says goes before what can be read from its steps
    failed = [f"{step.name}: {step.detail}" for step in steps if step.status is not StepStatus.DONE]
    must = [str(item) for item in stated] if isinstance(stated, list) else failed
    recommended = record.analysis.get("recommendation")
    if record.status is RollbackStatus.RUNNING:
        must.append("The rollback's further steps are still running: read this report again later")
    if recommended:
        must.append(str(recommended))
    elif is_newest:
        must.append(
            "Mend the candidate, then `changeover recover` and start a new cutover "
            "from the first stage"
        )
    return tuple(dict.fromkeys(must))


def outcome_figures(
    store: Store, plan: Plan, *, start: datetime, end: datetime
) -> tuple[OutcomeFigures, ...]:
    """Return what was reported in [start, end], by system and segment."""
    found = reported.by_segment(store, plan.migration, start=start, end=end)
    seconds = (end - start).total_seconds()
    found_figures = []
    for (system, segment), rows in found.items():
        window = combine(rows, seconds=seconds)
        found_figures.append(outcomes.figures(system, segment, window))
    return tuple(found_figures)


def outcome_points(store: Store, plan: Plan, span: Span) -> dict[str, tuple[OutcomePoint, ...]]:
    """Return the points of each system's reported outcomes; nothing where none was reported."""
    found = {}
    for system in SYSTEMS:
        windows = outcome_series.series(
            store, plan.migration, system, start=span.start, end=span.chart_end,
            points=measures.POINTS)
        if windows:
            found[system] = measures.outcome_points(windows)
    return found


def procedure_of(store: Store, cutover: Cutover) -> Procedure:
    """Return what the store knows of a cutover's procedure, in the order of time."""
    logged = step_log.all_of(store, cutover.migration, of_cutover(cutover.id))
    steps = []
    for step in logged:
        took = (step.ended_at - step.started_at).total_seconds()
        steps.append(ProcedureStep(
            step.name, step.status, step.detail, step.started_at, took))
    for run in validations.of_subject(store, cutover.migration, f"cutover {cutover.id}"):
        took = (run.ended_at - run.started_at).total_seconds() if run.ended_at else 0.0
        steps.append(ProcedureStep(
            f"suite {run.suite}", run.verdict, _suite_found(store, run), run.started_at, took))
    # judged again after a wait: the newest counts
    judged = [step for step in logged if step.name.startswith(step_log.CRITERIA)]
    criteria = []
    for each in judged[-1].data["criteria"] if judged else []:
        criteria.append(Criterion(each["criterion"], each["is_met"], each["detail"]))
    return Procedure(tuple(sorted(steps, key=lambda step: step.at)), tuple(criteria))


def _suite_found(store: Store, run: SuiteRun) -> str:
    checks = validations.checks(store, run.id)
    bad = [f"{check.name}: {check.reason}" for check in checks if check.verdict is not Verdict.PASS]
    return "; ".join(bad) or f"all {len(checks)} checks passed"
