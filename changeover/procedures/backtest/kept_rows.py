"""Windows of a trigger from kept samples: columns of a whole time first, whole rows where needed.

A window has the rows that the observer's has: the system's, the gateway's, those of outcomes, and
for the candidate the comparisons'.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from changeover.analysis.backtest.budgets import budget_judge
from changeover.analysis.backtest.may_hold import (
    Flags,
    Reading,
    Reals,
    may_hold,
    reading_of,
    rolled,
)
from changeover.analysis.backtest.replay import Grid, Judge
from changeover.analysis.histogram import Histogram
from changeover.analysis.trigger import Judged, judge_windows
from changeover.analysis.window import (
    GATEWAY,
    SHADOW,
    Sample,
    Window,
    combine,
    of_gateway,
    of_subset,
)
from changeover.plan.conditions import Condition
from changeover.plan.triggers import TriggerSpec
from changeover.store import series
from changeover.store.engine import Store
from changeover.store.series import Column, Part

CHUNK = 1440
"""Steps whose rows are read at once where a window is needed."""
MOST_CHUNKS = 12
AT_ONCE = 20 * CHUNK
"""Steps whose columns are read at once; then somebody hears how far it is."""
Sums = tuple[Reals, Reals]
Progress = Callable[[int], None]


@dataclass
class KeptRows:
    """What is kept of one migration in one time, at one resolution.

    Args:
        store: The store.
        migration: Name of the migration.
        grid: The steps of the time; no window reaches back before it.
        progress: Called with how many seconds were read.
    """

    store: Store
    migration: str
    grid: Grid
    progress: Progress
    _columns: dict[tuple[str, str], Sums] = field(default_factory=dict)
    _watched: dict[str, Reals] = field(default_factory=dict)
    _chunks: OrderedDict[tuple[str, str | None, int], dict[int, Sample]] = field(
        default_factory=OrderedDict)

    def read(self, asked: Sequence[tuple[Condition, str]]) -> None:
        """Read the columns that some conditions need.

        Args:
            asked: Each condition with the system that stands for its own.
        """
        wanted: dict[str, dict[str, Reading]] = {}
        for spec, system in asked:
            reading = reading_of(spec)
            if reading is None:
                continue
            systems = {system, "baseline"} if spec.is_to_baseline else {system}
            # a metric of one kind of row has the same for both systems
            for name in {reading.rows} if reading.rows else systems:
                wanted.setdefault(str(name), {})[_key(spec)] = reading
        for number, (rows, readings) in enumerate(sorted(wanted.items())):
            self._read(rows, readings, (number, len(wanted)))
        if not wanted:
            self.progress(len(self.grid.span))

    def measured_seconds(self, steps: int) -> int:
        """Return the seconds of the first steps in which the baseline was measured."""
        found = self._watched.get("baseline")
        if found is None:
            self._read("baseline", {}, (0, 0))
            found = self._watched["baseline"]
        return int(np.count_nonzero(found[:steps])) * self.grid.resolution

    def judge(self, spec: TriggerSpec, system: str) -> tuple[Judge, Flags]:
        """Return what each step says of a trigger, and in which its condition may be true."""
        grid, own = self.grid, self._sums(spec, system)
        if spec.budget is not None:
            return budget_judge(spec, own, resolution=grid.resolution)
        width = grid.width(spec)
        mine = self.windows_of(spec, system, width)
        theirs = self.windows_of(spec, "baseline", width) if spec.is_to_baseline else None

        def judge(index: int) -> Judged:
            return judge_windows(spec, mine(index), theirs(index) if theirs else None)

        return judge, self._may_hold(spec, own, width)

    def _may_hold(self, spec: TriggerSpec, own: Sums, width: int) -> Flags:
        sums = rolled(own[0], width), rolled(own[1], width)
        # outcomes have sums of their own; a window without any cannot hold
        if reading_of(spec) is None:  # outcomes: whether there were any
            found: Flags = sums[1] > 0
            return found
        other = None
        if spec.is_to_baseline:
            number, of = self._sums(spec, "baseline")
            other = rolled(number, width), rolled(of, width)
        return may_hold(spec, sums, other, seconds=float(width * self.grid.resolution))

    def windows_of(
        self, spec: Condition, system: str, width: int
    ) -> Callable[[int], Window]:
        """Return a system's windows, with as much in them as the metric is measured by.

        Args:
            spec: A condition that `read` was asked for.
            system: Whose.
            width: How many steps a window has.
        """
        reading, seconds = reading_of(spec), float(width * self.grid.resolution)
        if reading is not None and reading.fields is not None:
            number, of = (rolled(each, width) for each in self._sums(spec, system))
            fields = reading.fields
            return lambda index: Window(
                seconds=seconds, **fields(int(number[index]), int(of[index])))
        if reading is not None and spec.measured.quantile is not None:
            # kept up while it slides: to add up each window anew costs its whole length
            sliding = _Sliding(lambda step: self._latency(spec, system, step))
            return lambda index: Window(
                seconds=seconds, latency=sliding.at(range(max(0, index - width + 1), index + 1)))
        return lambda index: self._combined(
            spec, system, range(max(0, index - width + 1), index + 1), seconds)

    def _latency(self, spec: Condition, system: str, step: int) -> Mapping[int, int]:
        rows = self._rows(system, None, range(step, step + 1))
        return next((of_subset(each, spec.subset).latency.counts for each in rows), {})

    def _combined(self, spec: Condition, system: str, steps: range, seconds: float) -> Window:
        found: list[Sample] = []
        for name, segment in _names(system, spec):
            for each in self._rows(name, segment, steps):
                found.append(_as_watched(spec, system, name, each))
        return combine(found, seconds=seconds)

    def _rows(self, name: str, segment: str | None, steps: range) -> Iterator[Sample]:
        grid = self.grid
        for step in steps:
            chunk = self._chunk(name, segment, step // CHUNK)
            at = grid.first + step * grid.resolution
            if at in chunk:
                yield chunk[at]

    def _chunk(self, name: str, segment: str | None, number: int) -> dict[int, Sample]:
        key = name, segment, number
        if key in self._chunks:
            self._chunks.move_to_end(key)
            return self._chunks[key]
        grid = self.grid
        start = grid.first + number * CHUNK * grid.resolution
        # months in memory would be gigabytes: a few chunks are kept, the newest used
        part = Part(name.removeprefix(OUTCOMES), grid.resolution,
                    range(start, start + CHUNK * grid.resolution))
        if name.startswith(OUTCOMES):
            rows = series.outcome_rows(self.store, self.migration, part, segment)
        else:
            rows = series.rows(self.store, self.migration, part)
        self._chunks[key] = {each.at: each for each in rows}
        if len(self._chunks) > MOST_CHUNKS:
            self._chunks.popitem(last=False)
        return self._chunks[key]

    def _sums(self, spec: Condition, system: str) -> Sums:
        reading = reading_of(spec)
        if reading is None:
            return self._outcomes(spec, system)
        return self._columns[reading.rows or system, _key(spec)]

    def _outcomes(self, spec: Condition, system: str) -> Sums:
        part = Part(system, self.grid.resolution, self.grid.span)
        times, values = series.outcome_columns(
            self.store, self.migration, part, spec.segment)
        return self._on_grid(times, values[1]), self._on_grid(times, values[0])

    def _read(self, rows: str, readings: dict[str, Reading], turn: tuple[int, int]) -> None:
        """Read the columns of one kind of row, part by part."""
        grid = self.grid
        asked = [each for reading in readings.values() for each in (reading.number, reading.of)]
        wanted: list[Column] = [_is_there, *dict.fromkeys(asked)]  # what many ask is read once
        step = AT_ONCE * grid.resolution
        parts = []
        for start in range(grid.span.start, grid.span.stop, step):
            span = range(start, min(start + step, grid.span.stop))
            parts.append(series.columns(
                self.store, self.migration, Part(rows, grid.resolution, span), wanted))
            self.progress(_share(len(span), *turn))
        times = np.concatenate([each for each, _ in parts] or [np.zeros(0, np.int64)])
        values = np.concatenate(
            [each for _, each in parts] or [np.zeros((len(wanted), 0))], axis=1)
        self._watched[rows] = self._on_grid(times, values[0])
        found = {read: self._on_grid(times, values[number]) for number, read in enumerate(wanted)}
        for name, reading in readings.items():
            self._columns[rows, name] = found[reading.number], found[reading.of]

    def _on_grid(self, times: series.Numbers, values: Reals) -> Reals:
        """Return the sum of a column in each step; several gateways add up."""
        steps = (times - self.grid.first) // self.grid.resolution
        found: Reals = np.bincount(steps, values, self.grid.steps).astype(np.float64)
        return found[:self.grid.steps]


class _Sliding:
    """The sum of the histograms of some steps in a row, kept up while they move on.

    Args:
        read: Returns the counts of a step.
    """

    def __init__(self, read: Callable[[int], Mapping[int, int]]) -> None:
        self._read, self._steps = read, range(0)
        self._counts: dict[int, int] = {}

    def at(self, steps: range) -> Histogram:
        """Return the sum over some steps."""
        known = self._steps
        is_near = known.start <= steps.start <= known.stop <= steps.stop
        if not is_near:
            # otherwise beginning anew is less work than taking away what lies between
            known, self._counts = range(steps.start, steps.start), {}
        for step in range(known.stop, steps.stop):
            self._add(step, 1)
        for step in range(known.start, steps.start):
            self._add(step, -1)
        self._steps = steps
        return Histogram({index: count for index, count in self._counts.items() if count})

    def _add(self, step: int, times: int) -> None:
        for index, count in self._read(step).items():
            self._counts[index] = self._counts.get(index, 0) + times * count


OUTCOMES = "outcomes of "


def _names(system: str, spec: Condition) -> list[tuple[str, str | None]]:
    """Return the rows that a window has, with the segment of those of outcomes."""
    names: list[tuple[str, str | None]] = [(system, None), (GATEWAY, None)]
    if reading_of(spec) is None:
        names.append((OUTCOMES + system, spec.segment))
    if spec.of == "candidate":
        names.append((SHADOW, None))
    return names


def _as_watched(spec: Condition, system: str, name: str, row: Sample) -> Sample:
    """Return a row as it stands in a trigger's window."""
    if name == GATEWAY:
        return of_gateway(row)
    return of_subset(row, spec.subset) if name == system else row


def _is_there(_row: object) -> float:
    return 1.0


def _key(spec: Condition) -> str:
    """Return what distinguishes the columns of triggers: the metric and the bound."""
    return f"{spec.measured.name} {spec.subset} {spec.bound_name} {spec.bound_values}"


def _share(seconds: int, number: int, of: int) -> int:
    """Return a part's seconds, where each kind of row is one of several parts of the work."""
    return 0 if not of else seconds * (number + 1) // of - seconds * number // of
