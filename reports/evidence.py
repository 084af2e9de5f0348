"""From the store's rows to the view model; with `reading` the only part of reports that queries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import changeover
from changeover.analysis.check_words import gate_word
from changeover.analysis.window import Sample
from changeover.domain.audit import AuditEvent
from changeover.domain.capacity import shrinking_after
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback, TriggerFiring
from changeover.domain.rollout import Cutover
from changeover.domain.verdict import Verdict
from changeover.plan.model import PhaseKind, Plan
from changeover.shadow import scores
from changeover.site import capacity, group_status, keyless_status, trigger_status
from changeover.store import audit, firings, outages, publications, routing
from changeover.store.covering import MINUTE
from changeover.store.engine import Store
from reports import check_reading, check_series, measures, reading, route_reading, timeline
from reports.headline import Story, headline
from reports.model import (
    Asked,
    AuditView,
    Figures,
    Keyless,
    Outage,
    Point,
    Progress,
    Question,
    ReportData,
    StageView,
)
from reports.reading import Span, system_names

# by name, not by value: to hide too much does less harm than to show one secret
_SECRET = re.compile(r"token|secret|passw|authorization|credential|api_?key|webhook", re.IGNORECASE)
_MASK = "(not shown)"


def collect(
    store: Store, plan: Plan, cutover_id: int | None, *, now: datetime,
    since: datetime | None = None,
) -> ReportData:
    """Return everything that the report of a cutover says.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover_id: The cutover; None for the newest, or for the migration as it stands when it
            never had one.
        now: The present moment.
        since: Numbers, charts and timeline begin here, when the cutover began before.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
    """
    cutover = reading.find_cutover(store, plan, cutover_id)
    events = audit.events(store, plan.migration)
    undone = reading.rollbacks_of(store, plan, cutover)
    span = reading.span_of(cutover, events, undone, now)
    if since is not None:
        # a cutover that ended before has nothing in this time, which begins at its end then
        span = replace(span, start=min(max(span.start, since), span.end))
    return _report(store, plan, _Facts(cutover, events, undone, span, now))


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a report is about, found before anything is measured."""

    cutover: Cutover | None
    events: list[AuditEvent]
    undone: list[Rollback]
    span: Span
    now: datetime


def _report(store: Store, plan: Plan, facts: _Facts) -> ReportData:
    cutover, events, undone, span = facts.cutover, facts.events, facts.undone, facts.span
    # the finest figures are for charts and times, the exact counts come from windows
    finest = reading.finest_samples(store, plan, span)
    figures = reading.figures_of(store, plan, span.start, span.end)
    stages = reading.stage_views(store, plan, cutover, now=facts.now)
    firings = _firings(store, plan, span)
    names, state = system_names(plan), routing.read(store, plan.migration).describe()
    titles = {stage.key: stage.title for stage in stages}
    shown = {"start": span.start, "end": span.chart_end}
    return ReportData(
        migration=plan.migration,
        subject="cutover" if cutover else "status",
        generated_at=facts.now,
        changeover_version=changeover.__version__,
        systems=names,
        headline=headline(Story(cutover, stages, undone, firings, names, state, facts.now)),
        cutover=cutover,
        routing=state,
        start=span.start, end=span.end, chart_end=span.chart_end,
        outage=_outage(store, plan, finest, figures, span),
        figures=figures,
        stages=stages, group=group_status.collect(store, plan, cutover, now=facts.now),
        timeline=timeline.moments(events, titles, **shown),
        marks=timeline.marks(events, titles, **shown),
        weights=timeline.weights(events, **shown),
        series=_series(finest, span), routes=route_reading.collect(store, plan, span, finest),
        outcome_series=reading.outcome_points(store, plan, span),
        firings=firings,
        rollbacks=reading.rollback_views(store, undone),
        publications=_publications(store, plan, span),
        audit=_audit(store, plan, events),
        plan=shown_plan(plan),
        differences=scores.collect(store, plan.migration) if plan.shadow else None,
        procedure=reading.procedure_of(store, cutover) if cutover else None,
        outcomes=reading.outcome_figures(store, plan, start=span.start, end=span.end),
        triggers=tuple(trigger_status.triggers(store, plan, now=facts.now)),
        way_back=_room_now(store, plan, facts.now), keyless=_keyless(plan, figures),
        **_checks_over_time(store, plan, stages, span),
    )


def collect_progress(
    store: Store, plan: Plan, cutover_id: int | None, *, now: datetime
) -> Progress:
    """Return where a cutover stands: its stages, and the numbers since it began.

    Args:
        store: The store.
        plan: The migration's plan.
        cutover_id: The cutover; None for the newest.
        now: The present moment.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
    """
    cutover = reading.find_cutover(store, plan, cutover_id)
    undone = reading.rollbacks_of(store, plan, cutover)
    stages = reading.stage_views(store, plan, cutover, now=now, with_figures=False)
    start, end = (cutover.started_at, cutover.ended_at or now) if cutover else (now, now)
    fired = tuple(firings.all_of(store, plan.migration, since=start))
    state = routing.read(store, plan.migration).describe()
    names = system_names(plan)
    return Progress(
        migration=plan.migration,
        systems=names,
        headline=headline(Story(cutover, stages, undone, fired, names, state, now)),
        routing=state,
        stages=stages,
        figures=reading.figures_of(store, plan, start, end),
    )


def collect_question(store: Store, plan: Plan, asked: Asked, *, now: datetime) -> Question:
    """Return what people are asked before a stage is left, with the evidence so far.

    Args:
        store: The store.
        plan: The migration's plan.
        asked: Which question.
        now: The present moment.

    Raises:
        InvalidInput: No such cutover, or one of another migration.
        KeyError: The plan has no such stage.
    """
    cutover = reading.find_cutover(store, plan, asked.cutover_id)
    views = reading.stage_views(store, plan, cutover, now=now)
    view = views[plan.stage(asked.stage).index]
    # what a promotion leads to: the next stage, or the end
    following = next((other for other in views if other.index == view.index + 1), None)
    target = following or view
    fired = firings.all_of(store, plan.migration, since=view.entered_at or now)
    return Question(
        migration=plan.migration,
        systems=system_names(plan),
        stage=view,
        reason=asked.reason,
        ordinal=asked.ordinal,
        next_title=following.title if following else None,
        next_weight=target.weight, next_routes=target.routes,
        next_segments=target.segments,
        next_soak_seconds=following.soak_seconds if following else 0.0,
        warnings=warnings_of(view, fired),
        way_back=_way_back(store, plan, asked.stage, now),
    )


def _keyless(plan: Plan, figures: Sequence[Figures]) -> Keyless:
    requests = sum(row.window.requests for row in figures)
    keyless = sum(row.window.keyless for row in figures)
    return Keyless(requests, keyless, keyless / requests if requests else None,
                   keyless_status.fate(plan))


def _room_now(store: Store, plan: Plan, now: datetime) -> str:
    """Return whether a rollback would fit, while something has made the baseline smaller."""
    room = capacity.room_when_shrunk(store, plan, now=now)
    return room.text if room else ""


def _way_back(store: Store, plan: Plan, stage: str, now: datetime) -> str:
    """Return whether a rollback would fit; empty before users are moved, when it says nothing."""
    coming = shrinking_after(plan, stage)
    if not coming and plan.stage(stage).phase is PhaseKind.SHADOW:
        return ""
    return capacity.room(store, plan, coming, now=now).text


def warnings_of(stage: StageView, firings: Iterable[TriggerFiring]) -> tuple[str, ...]:
    """Return what else a person should know before answering, one sentence each."""
    warnings = [
        f"trigger {firing.trigger} fired ({firing.did}): {firing.reason}" for firing in firings
    ]
    # only the newest evaluation of a gate is about the present
    newest = {each.gate: each for each in stage.evaluations}
    for gate, each in newest.items():
        if each.verdict is not Verdict.PASS:
            word = gate_word(each.verdict, each.evidence)
            is_what = "asks you" if word != each.verdict else f"is {word}"
            warnings.append(f"gate {gate} {is_what}: {each.reason}")
    if not stage.gates:
        warnings.append("no gate was judged: the plan names none for this stage")
    return tuple(warnings + _noticed(stage.figures))


def shown_plan(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data, without what may be a secret: a report is passed around."""
    content = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    # variables of a process often hold passwords, whatever their names are
    for system in content["systems"].values():
        environment = system.get("process", {}).get("env", {})
        environment.update(dict.fromkeys(environment, _MASK))
    masked: dict[str, Any] = _masked(content)
    return masked


def _checks_over_time(
    store: Store, plan: Plan, stages: Sequence[StageView], span: Span
) -> dict[str, Any]:
    """Return every check over time, and when each would have decided."""
    checks = check_reading.collect(store, plan, stages, end=span.end)
    entered = {stage.key: stage.entered_at for stage in stages if stage.entered_at}
    return {"checks": checks, "decided": check_series.decided(checks, entered)}


def _series(
    finest: Mapping[str, Sequence[Sample]], span: Span
) -> dict[str, tuple[Point, ...]]:
    found = {}
    for system, rows in finest.items():
        found[system] = measures.points(rows, start=span.start, end=span.chart_end)
    return found


def _outage(
    store: Store, plan: Plan, finest: Mapping[str, Sequence[Sample]],
    figures: Sequence[Figures], span: Span,
) -> Outage:
    """Return what users noticed: times from the samples, counts as exact as the figures'."""
    first, last = math.ceil(span.start.timestamp()), int(span.end.timestamp())
    inside = []
    for rows in finest.values():
        for row in rows:
            # a sample that is only partly inside counts: users noticed what is in it
            if row.at < last and row.at + row.resolution > first:
                inside.append(row)
    found = measures.outage(inside)
    # an hour in which somebody saw an error says nothing of how long that was
    if found.resolution_seconds > MINUTE:
        minutes = outages.failing_minutes(
            store, plan.migration, start=span.start, end=span.end)
        found = replace(
            found, resolution_seconds=MINUTE, seconds_with_errors=MINUTE * minutes.with_errors,
            down_seconds=MINUTE * minutes.down)
    return replace(
        found,
        requests=sum(row.window.requests for row in figures),
        user_errors=sum(row.window.user_errors for row in figures),
    )


def _noticed(figures: Sequence[Figures]) -> list[str]:
    errors = sum(row.window.user_errors for row in figures)
    requests = sum(row.window.requests for row in figures)
    if errors:
        return [f"{errors} of {requests} requests of users ended in an error in this stage"]
    return [] if requests else ["no request was measured in this stage"]


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        shown = {}
        for name, inner in value.items():
            # values below a mapping of such a name are masked by their own names
            is_secret = _SECRET.search(str(name)) and isinstance(inner, str | int | float)
            shown[name] = _MASK if is_secret else _masked(inner)
        return shown
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _firings(store: Store, plan: Plan, span: Span) -> tuple[TriggerFiring, ...]:
    fired = firings.all_of(store, plan.migration, since=span.start)
    return tuple(each for each in fired if each.fired_at <= span.chart_end)


def _publications(store: Store, plan: Plan, span: Span) -> tuple[Publication, ...]:
    every = publications.all_of(store, plan.migration)
    return tuple(each for each in every if span.start <= each.at <= span.chart_end)


def _audit(store: Store, plan: Plan, events: Sequence[AuditEvent]) -> AuditView:
    head = events[-1].hash if events else audit.GENESIS
    return AuditView(len(events), head, tuple(audit.verify(store, plan.migration)))
