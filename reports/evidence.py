"""From the store's rows to the view model; the only module of reports that queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import changeover
from changeover.analysis.window import Sample
from changeover.errors import InvalidInput
from changeover.plan.model import Plan, Stage
from changeover.routing import RoutingState
from changeover.store import approvals, audit, cutovers, operations, routing, samples
from changeover.store.engine import Store
from changeover.store.records import (
    AuditEvent,
    Cutover,
    CutoverStatus,
    Rollback,
    StageRecord,
    TriggerFiring,
)
from reports import measures, text, timeline
from reports.headline import Story, headline
from reports.model import (
    SYSTEMS,
    AuditView,
    Figures,
    Progress,
    Question,
    ReportData,
    RollbackView,
    StageView,
)

MINUTE = 60
_SECRET = re.compile(r"token|secret|passw|authorization|credential|api_?key|webhook", re.IGNORECASE)
_MASK = "(not shown)"


@dataclass(frozen=True, slots=True)
class _Span:
    """What a report covers: numbers in [start, end), charts a little further."""

    start: datetime
    end: datetime
    chart_end: datetime


def collect(store: Store, plan: Plan, cutover_id: int | None, *, now: datetime) -> ReportData:
    """Return everything that the report of a cutover says.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover_id: The cutover; None for the newest, or for the migration as it stands when it
            never had one.
        now: The present moment.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
    """
    cutover = _cutover(store, plan, cutover_id)
    state = routing.read(store, plan.migration)
    events = audit.events(store, plan.migration)
    rollbacks = _rollbacks(store, plan, cutover)
    span = _span(cutover, events, rollbacks, now)
    finest = {system: _finest(store, plan, system, span) for system in SYSTEMS}
    stages = _stages(store, plan, cutover, now)
    firings = _firings(store, plan, span)
    titles = {stage.key: stage.title for stage in plan.stages()}
    inside = [sample for rows in finest.values() for sample in rows
              if sample.at < span.end.timestamp()]
    return ReportData(
        migration=plan.migration,
        subject="cutover" if cutover else "status",
        generated_at=now,
        changeover_version=changeover.__version__,
        systems=system_names(plan),
        headline=headline(Story(cutover, stages, rollbacks, firings, system_names(plan),
                                _routing_phrase(state), now)),
        cutover=cutover,
        routing=state.describe(),
        start=span.start,
        end=span.end,
        outage=measures.outage(inside),
        figures=_figures(store, plan, span.start, span.end),
        stages=stages,
        timeline=timeline.moments(events, titles, start=span.start, end=now
                                  if cutover is None else span.chart_end),
        marks=timeline.marks(events, titles, start=span.start, end=span.chart_end),
        weights=timeline.weights(events, start=span.start, end=span.chart_end),
        series={system: measures.points(rows, start=span.start, end=span.chart_end)
                for system, rows in finest.items()},
        firings=firings,
        rollbacks=tuple(_rollback_view(store, record) for record in rollbacks),
        publications=tuple(
            publication for publication in operations.publications(store, plan.migration)
            if span.start <= publication.at <= span.chart_end
        ),
        audit=AuditView(len(events), events[-1].hash if events else audit.GENESIS,
                        tuple(audit.verify(store, plan.migration))),
        plan=shown_plan(plan),
    )


def collect_progress(
    store: Store, plan: Plan, cutover_id: int | None, *, now: datetime
) -> Progress:
    """Return where a cutover stands: its stages, and the numbers of its newest stage.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover_id: The cutover; None for the newest.
        now: The present moment.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
    """
    cutover = _cutover(store, plan, cutover_id)
    state = routing.read(store, plan.migration)
    rollbacks = _rollbacks(store, plan, cutover)
    stages = _stages(store, plan, cutover, now, with_figures=False)
    begin = cutover.started_at if cutover else now
    span = _Span(begin, cutover.ended_at or now if cutover else now, now)
    firings = tuple(operations.firings(store, plan.migration, since=begin))
    rows = [row for system in SYSTEMS for row in _finest(store, plan, system, span)]
    return Progress(
        migration=plan.migration,
        systems=system_names(plan),
        headline=headline(Story(cutover, stages, rollbacks, firings, system_names(plan),
                                _routing_phrase(state), now)),
        routing=state.describe(),
        stages=stages,
        figures=_figures(store, plan, span.start, span.end),
        outage=measures.outage(rows),
    )


def collect_question(
    store: Store, plan: Plan, cutover_id: int, stage: str, *, reason: str, ordinal: int,
    now: datetime,
) -> Question:
    """Return what people are asked before a stage is left, with the evidence so far.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover_id: The cutover.
        stage: Key of the stage that is to be left.
        reason: Why they are asked: the gate's result.
        ordinal: Which of the stage's approvers this is, from 1.
        now: The present moment.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
        KeyError: The plan has no such stage.
    """
    cutover = _cutover(store, plan, cutover_id)
    plan_stages = plan.stages()
    index = plan.stage(stage).index
    following = plan_stages[index + 1] if index + 1 < len(plan_stages) else None
    view = next(v for v in _stages(store, plan, cutover, now) if v.key == stage)
    begin = view.entered_at or now
    span = _Span(begin, now, now)
    rows = [row for system in SYSTEMS for row in _finest(store, plan, system, span)]
    outage = measures.outage(rows)
    firings = operations.firings(store, plan.migration, since=begin)
    return Question(
        migration=plan.migration,
        systems=system_names(plan),
        stage=view,
        reason=reason,
        ordinal=ordinal,
        next_title=following.title if following else None,
        next_weight=following.weight if following else view.weight,
        next_segments=following.segments if following else view.segments,
        next_soak_seconds=following.soak.total_seconds() if following else 0.0,
        outage=outage,
        warnings=_warnings(view, firings, outage.user_errors),
    )


def system_names(plan: Plan) -> dict[str, str]:
    """Return the names that people gave the two systems."""
    return {"baseline": plan.systems.baseline.name, "candidate": plan.systems.candidate.name}


def shown_plan(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data, without what may be a secret: a report is passed around."""
    content = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    for system in content["systems"].values():
        for name in system.get("process", {}).get("env", {}):
            system["process"]["env"][name] = _MASK
    masked = _without_secrets(content)
    return dict(masked) if isinstance(masked, Mapping) else {}


def publish_milliseconds(seconds: Sequence[float]) -> tuple[float, float] | None:
    """Return (median, longest) of publication times in milliseconds, or None without any."""
    return (median(seconds) * 1000, max(seconds) * 1000) if seconds else None


def _without_secrets(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            name: _MASK if _SECRET.search(str(name)) and isinstance(inner, str | int | float)
            else _without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value


def _routing_phrase(state: RoutingState) -> str:
    return f"the routing is {state.describe()}"


def _cutover(store: Store, plan: Plan, cutover_id: int | None) -> Cutover | None:
    if cutover_id is None:
        return cutovers.latest(store, plan.migration)
    cutover = cutovers.get(store, cutover_id)
    if cutover.migration != plan.migration:
        raise InvalidInput(
            f"cutover {cutover_id} belongs to migration {cutover.migration}, "
            f"the plan to {plan.migration}"
        )
    return cutover


def _rollbacks(store: Store, plan: Plan, cutover: Cutover | None) -> list[Rollback]:
    """Return the rollbacks from a cutover's start to the start of the one after it."""
    every = operations.rollbacks(store, plan.migration)
    if cutover is None:
        return every
    later = [c.started_at for c in cutovers.all_of(store, plan.migration) if c.id > cutover.id]
    return [
        rollback for rollback in every
        if rollback.cutover_id == cutover.id
        or (rollback.cutover_id is None and rollback.started_at >= cutover.started_at
            and not any(rollback.started_at >= start for start in later))
    ]


def _span(
    cutover: Cutover | None, events: Sequence[AuditEvent], rollbacks: Sequence[Rollback],
    now: datetime,
) -> _Span:
    if cutover is None:
        start = events[0].at if events else now
        return _Span(start, max(now, start), max(now, start))
    ends = [rollback.ended_at or now for rollback in rollbacks]
    if cutover.ended_at is None or cutover.status == CutoverStatus.RUNNING:
        end = now
    else:
        end = max([cutover.ended_at, *ends])
    end = max(min(end, now), cutover.started_at)
    margin = min(max((end - cutover.started_at) / 20, timedelta(seconds=5)), timedelta(minutes=10))
    return _Span(cutover.started_at, end, max(end, min(now, end + margin)))


def _finest(store: Store, plan: Plan, system: str, span: _Span) -> list[Sample]:
    """Return a system's samples in the span: seconds where all of them are kept, else minutes.

    Never both: they would overlap, and a chart of uneven spans jumps.
    """
    first, last = int(span.start.timestamp()), span.chart_end.timestamp()
    minute_start = span.start - timedelta(seconds=first % MINUTE)
    count = max(1, -(-(int(last) - first + first % MINUTE) // MINUTE))
    minutes_end = minute_start.replace(microsecond=0) + timedelta(seconds=count * MINUTE - 1)
    short = count * MINUTE <= plan.retention.seconds.total_seconds() * 2
    if short:
        seconds = [
            sample for sample in samples.recent(store, plan.migration, since=span.start)
            if sample.system == system and sample.at < last
        ]
        rolled = _minutes(store, plan, system, minute_start, minutes_end, count)
        is_complete = not rolled or (seconds and seconds[0].at < rolled[0].at + MINUTE)
        return seconds if is_complete else rolled
    return _minutes(store, plan, system, minute_start, minutes_end, count)


def _minutes(
    store: Store, plan: Plan, system: str, start: datetime, end: datetime, count: int
) -> list[Sample]:
    return samples.series(
        store, plan.migration, system, start=start.replace(microsecond=0), end=end, points=count
    )


def _figures(store: Store, plan: Plan, start: datetime, end: datetime) -> tuple[Figures, ...]:
    names = system_names(plan)
    return tuple(
        measures.figures(
            system, names[system],
            samples.window(store, plan.migration, system, start=start, end=end),
            start=start, end=end,
        )
        for system in SYSTEMS
    )


def _stages(
    store: Store, plan: Plan, cutover: Cutover | None, now: datetime, *, with_figures: bool = True
) -> tuple[StageView, ...]:
    records = {r.key: r for r in cutovers.stages(store, cutover.id)} if cutover else {}
    views = []
    for spec in plan.stages():
        record = records.get(spec.key)
        if record is None or cutover is None:
            views.append(_stage_to_come(spec))
        else:
            views.append(_stage(store, plan, cutover, spec, record, now, with_figures))
    return tuple(views)


def _stage_to_come(spec: Stage) -> StageView:
    return StageView(
        key=spec.key, title=spec.title, index=spec.index, status="to_come", weight=spec.weight,
        segments=spec.segments, soak_seconds=spec.soak.total_seconds(), gates=spec.gates,
        approvers=spec.approvers,
    )
