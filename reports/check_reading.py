"""What is kept of each check over time: stored verdicts, and samples at some moments of a stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from changeover.analysis.check import describe_bound, judge
from changeover.analysis.window import SHADOW, Sample, Window, combine
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import Source
from changeover.plan.model import Plan
from changeover.store import samples
from changeover.store.engine import Store
from reports import check_series
from reports.check_series import CheckPoint, CheckSeries, Key
from reports.model import SYSTEMS, StageView

MOMENTS = 16
"""Moments of a stage that are judged by samples: enough to see when it would have decided."""
_MEASURED = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS, Source.COMPARISON)

Rows = dict[str, list[Sample]]
"""Samples of a stage by system, and of the comparisons."""


def collect(
    store: Store, plan: Plan, stages: Sequence[StageView], *, end: datetime
) -> tuple[CheckSeries, ...]:
    """Return every check of every gate over time.

    Args:
        store: The store.
        plan: The migration's plan.
        stages: Its stages with their verdicts.
        end: The end of what is looked at.
    """
    every = [each for stage in stages for each in stage.evaluations]
    points = check_series.of_verdicts(sorted(every, key=lambda each: each.at))
    specs: dict[Key, CheckSpec] = {}
    for stage in stages:
        for key, spec in _specs(plan, stage):
            specs[key] = spec
        measured = [(key, spec) for key, spec in _specs(plan, stage) if _is_measured(spec)]
        if stage.entered_at is None or not measured:
            continue
        until = max(stage.entered_at, min(end, stage.decided_at or end))
        rows = _rows(store, plan, stage.entered_at, until)
        windows = _Windows(rows)
        for key, spec in measured:
            points[key] += _points(spec, stage, windows, until)
    return check_series.series(points, specs)


def _specs(plan: Plan, stage: StageView) -> Iterator[tuple[Key, CheckSpec]]:
    for gate in stage.gates:
        for spec in plan.all_gates.get(gate, ()):
            yield (gate, spec.measured.name, spec.of, describe_bound(spec)), spec


def _is_measured(spec: CheckSpec) -> bool:
    """Whether the samples of all users say what a check says."""
    is_other = spec.is_sequential or spec.is_by_minutes or spec.is_external
    is_part = spec.part is not None or spec.path is not None
    return not (is_other or is_part) and spec.measured.source in _MEASURED


def _rows(store: Store, plan: Plan, start: datetime, end: datetime) -> Rows:
    """Return what was measured in a stage, in about as many steps as there are moments."""
    found = {}
    for system in (*SYSTEMS, SHADOW):
        rows = samples.series(
            store, plan.migration, system, start=start, end=end, points=MOMENTS)
        # a step that began before the stage holds traffic of other users
        found[system] = [row for row in rows if row.at >= start.timestamp()]
    return found


class _Windows:
    """The windows of a stage; most of its checks look at the same ones.

    Args:
        rows: What was measured in the stage.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._known: dict[tuple[str, int, int], Window] = {}

    def of(self, system: str, start: int, end: int) -> Window:
        """Return what the steps that began in [start, end) add up to."""
        key = system, start, end
        if key not in self._known:
            inside = [row for row in self.rows[system] if start <= row.at < end]
            self._known[key] = combine(inside, seconds=max(0, end - start))
        return self._known[key]


def _points(
    spec: CheckSpec, stage: StageView, windows: _Windows, until: datetime
) -> Iterator[CheckPoint]:
    """Yield what a check would have said at the end of each step."""
    system = SHADOW if spec.measured.source is Source.COMPARISON else spec.of
    own = windows.rows[system]
    for row in own:
        end = min(row.at + row.resolution, int(until.timestamp()))
        start = own[0].at
        # a window reaches back as far as the plan says, and never before the stage
        if spec.over is not None:
            start = max(start, end - int(spec.over.total_seconds()))
        other = windows.of("baseline", start, end) if spec.is_to_baseline else None
        at = datetime.fromtimestamp(end, UTC)
        result = judge(
            spec, windows.of(system, start, end), other,
            start=datetime.fromtimestamp(start, UTC), end=at)
        yield check_series.of_result(at, stage.key, result)
