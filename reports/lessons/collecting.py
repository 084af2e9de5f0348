"""From the store's rows to what a cutover teaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import changeover
from changeover.analysis.check import describe_bound
from changeover.analysis.nearness import nearness
from changeover.analysis.window import Sample, combine, of_subset
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.errors import InvalidInput
from changeover.plan.metrics import Source
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec
from changeover.shadow import scores
from changeover.site import trigger_status
from changeover.store import audit, firings, routing, samples
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from reports import measures, reading, timeline
from reports.headline import Story, headline
from reports.kind import Ask
from reports.lessons import advice, near, times
from reports.lessons.flaky import flaky_checks
from reports.lessons.model import Lessons, Near, Unseen, Watch
from reports.lessons.near import Seen
from reports.model import SYSTEMS, StageView

WORST_HOURS = 12
"""Of weeks, so many hours are looked at by the minute: those with the worst sums."""
_NAMES = {MINUTE: "minutes", HOUR: "hours"}
_MEASURED = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS)


def collect(store: Store, plan: Plan, ask: Ask) -> Lessons:
    """Return what a cutover teaches.

    Raises:
        InvalidInput: There was no cutover, or not that one.
    """
    cutover = reading.find_cutover(store, plan, ask.number)
    if cutover is None:
        raise InvalidInput(
            f"{plan.migration} had no cutover yet", where="report lessons",
            next_step="Start one: run the deployment cutover/main in Prefect's page")
    events = audit.events(store, plan.migration)
    undone = reading.rollbacks_of(store, plan, cutover)
    span = reading.span_of(cutover, events, undone, ask.now)
    stages = reading.stage_views(store, plan, cutover, now=ask.now, with_figures=False)
    fired = tuple(each for each in firings.all_of(store, plan.migration, since=span.start)
                  if each.fired_at <= span.end)
    state, names = routing.read(store, plan.migration).describe(), reading.system_names(plan)
    spent = times.stage_times(
        stages, times.pauses_of(events, start=span.start, end=span.end), end=span.end)
    close, unseen = _near(store, plan, stages, fired, (span.start, span.end), ask.now)
    flaky = flaky_checks(stages)
    titles = {stage.key: stage.title for stage in plan.stages()}
    told = timeline.moments(events, titles, start=span.start, end=span.chart_end)
    return Lessons(
        migration=plan.migration, generated_at=ask.now,
        changeover_version=changeover.__version__, systems=names, cutover=cutover,
        headline=headline(Story(cutover, stages, undone, fired, names, state, ask.now)),
        start=span.start, end=span.end, stages=spent, near=close, unseen=unseen, flaky=flaky,
        firings=fired, rollbacks=tuple(undone),
        timeline=tuple(each for each in told if each.kind in DECISIONS or each.tone == "bad"),
        advice=advice.advice(advice.Facts(
            status=_status(cutover, undone), stages=spent, near=close, unseen=unseen, flaky=flaky,
            approvals=[each for stage in stages for each in stage.approvals],
            regressions=_regressions(store, plan), notified=bool(plan.notify))),
    )


DECISIONS = (
    "cutover.started", "cutover.promoted", "cutover.rolled_back", "cutover.failed",
    "stage.entered", "stage.promoted", "stage.held", "stage.skipped", "stage.rolled_back",
    "approval.answered", "cutover.pause", "cutover.resume", "cutover.extend",
    "cutover.promote-now", "plan.amended", "freeze.on", "freeze.off", "trigger.fired",
    "rollback.started", "rollback.completed", "baseline.retired",
)
"""Events that a person wants to see when it is all over."""


def _status(cutover: Cutover, undone: Sequence[object]) -> CutoverStatus:
    """Return how a cutover ended; one that was undone after its promotion was rolled back."""
    status = CutoverStatus(cutover.status)
    return CutoverStatus.ROLLED_BACK if undone and status is CutoverStatus.PROMOTED else status


def _regressions(store: Store, plan: Plan) -> tuple[str, ...]:
    """Return the places at which the candidate is firmly worse."""
    if not plan.shadow:
        return ()
    found = scores.collect(store, plan.migration).findings
    return tuple(each.place.field for each in found if each.verdict.is_firm)


def _near(
    store: Store, plan: Plan, stages: Sequence[StageView], fired: Sequence[TriggerFiring],
    span: tuple[datetime, datetime], now: datetime,
) -> tuple[tuple[Near, ...], tuple[Unseen, ...]]:
    """Return how near everything came to its bound, the nearest first, and what had no data."""
    found, unseen = near.of_checks(stages)
    measured = Measured(store, plan, *span)
    standing = {each["trigger"]: each for each in trigger_status.triggers(store, plan, now=now)}
    for spec in plan.triggers:
        close = near.of_trigger(spec, measured.of(spec), fired, stages)
        if close is None:
            close = _by_evidence(spec, standing[spec.name], span)
        if close is not None:
            found.append(close)
        else:
            reason = str(standing[spec.name]["reason"])
            unseen.append(Unseen(Watch.TRIGGER, spec.name, reason))
    found.sort(key=lambda each: -each.share)
    return tuple(found), tuple(unseen)


def _by_evidence(
    spec: TriggerSpec, found: dict[str, Any], span: tuple[datetime, datetime]
) -> Near | None:
    """Return how near a trigger stands now, where only that is kept of it."""
    at = found["at"]
    share = nearness(spec, found["value"], found["evidence"])
    if share is None or at is None:
        return None
    moment = datetime.fromisoformat(str(at))
    if not span[0] <= moment <= span[1] + timedelta(minutes=1):
        return None
    return Near(
        Watch.TRIGGER, spec.name, describe_bound(spec), share, str(found["shown"]), moment,
        "", "evidence now", fired=False)


class Measured:
    """The values that triggers' metrics had during a cutover.

    Args:
        store: The store.
        plan: The migration's plan.
        start: When the cutover began.
        end: When it ended.
    """

    def __init__(self, store: Store, plan: Plan, start: datetime, end: datetime) -> None:
        self._store, self._plan, self._start, self._end = store, plan, start, end
        is_long = end - start > timedelta(hours=measures.POINTS)
        self._size = HOUR if is_long else MINUTE
        self._rows = {system: self._read(system, start, end, self._size) for system in SYSTEMS}

    def of(self, spec: TriggerSpec) -> list[Seen]:
        """Return the values of a trigger's metric; of weeks, the worst hours by the minute."""
        is_known = spec.measured.source in _MEASURED and not spec.is_by_itself
        if not is_known:
            return []
        found = self._seen(spec, self._rows, self._size)
        if self._size == HOUR and found:
            worst = sorted(found, key=lambda each: -self._share(spec, each))[:WORST_HOURS]
            for each in worst:
                found += self._minutes(spec, each.at)
        # an hour that began before the cutover holds what another one did to users
        first = self._start - timedelta(minutes=1)
        return [each for each in found if each.at > first]

    def _share(self, spec: TriggerSpec, each: Seen) -> float:
        return near.share_of_way(spec, each.value, each.baseline) or 0.0

    def _minutes(self, spec: TriggerSpec, hour: datetime) -> list[Seen]:
        until = hour + timedelta(hours=1)
        rows = {system: self._read(system, hour, until, MINUTE) for system in SYSTEMS}
        return self._seen(spec, rows, MINUTE)

    def _read(
        self, system: str, start: datetime, end: datetime, size: int
    ) -> list[Sample]:
        first = int(start.timestamp()) // size * size
        count = max(1, -(-(int(end.timestamp()) - first) // size))
        begin = datetime.fromtimestamp(first, UTC)
        return samples.series(
            self._store, self._plan.migration, system, start=begin,
            end=begin + timedelta(seconds=count * size - 1), points=count)

    def _seen(
        self, spec: TriggerSpec, rows: dict[str, list[Sample]], size: int
    ) -> list[Seen]:
        others = {each.at: each for each in rows["baseline"]} if spec.is_to_baseline else {}
        found = []
        for row in rows[spec.of]:
            value = _value(spec, [row])
            other = _value(spec, [others[row.at]]) if row.at in others else None
            # fewer samples than the trigger wants say nothing to it either
            if value is not None:
                at = datetime.fromtimestamp(row.at, UTC)
                found.append(Seen(at, value, other, _NAMES[size]))
        return found


def _value(spec: TriggerSpec, rows: Iterable[Sample]) -> float | None:
    own = [of_subset(row, spec.subset) for row in rows]
    measured = combine(own, seconds=own[0].resolution).measure(spec.measured.name)
    return measured.value if measured.samples >= spec.min_samples else None
