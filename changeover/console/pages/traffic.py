"""Charts of what was measured of both systems."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from changeover.analysis.summing import combined
from changeover.analysis.window import (
    GATEWAY,
    SHADOW,
    Sample,
    Window,
    combine,
    of_gateway,
    of_subset,
)
from changeover.console.pages import marks
from changeover.console.pages.charts import Chart, Line, Value, aligned, with_gaps
from changeover.console.pages.ranges import MOST_POINTS
from changeover.console.pages.view import Look
from changeover.domain.routing import System
from changeover.store import samples, series

_LINES = {SHADOW: ("answers of both", "ink")}
"""Name and colour of what is of no system alone."""
_POINTS = {SHADOW: 120}
"""Comparisons are few: the share of two or three of them says nothing."""
SHARE_OF_RANGE = 300
"""A chart is made anew when it would move by this part of its width."""


def _unknown(_window: Window) -> Value:
    return None


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of one number of both systems, or of lines that its page makes.

    Args:
        name: Of the chart.
        title: For people.
        unit: Of the shown values.
        value: Returns the number from a window, in the shown unit; None for unknown.
        least_top: The axis reaches at least here.
        floor: Where the axis begins; None where the values decide.
    """

    name: str
    title: str
    unit: str
    value: Callable[[Window], Value] = field(default=_unknown)
    least_top: float = 1.0
    floor: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Values:
    """A line before its times are those of its chart.

    Args:
        name: What it shows, for the legend.
        colour: As of `charts.Line`.
        values: By Unix second.
    """

    name: str
    colour: str
    values: Mapping[int, Value]


def metric(name: str, scale: float) -> Callable[[Window], Value]:
    """Return how a metric is read from a window, times a scale."""
    def value(window: Window) -> Value:
        found = window.measure(name).value
        return None if found is None else found * scale

    return value


def _memory(window: Window) -> Value:
    return None if window.memory_bytes is None else window.memory_bytes / 1e6


REQUESTS = Panel("requests", "Requests per second", "/s", metric("request_rate", 1))
ERRORS = Panel("errors", "Failed requests", "%", metric("error_rate", 100))
P50 = Panel("p50", "Median duration", "ms", metric("latency_p50", 1000))
P95 = Panel("p95", "p95 of the duration", "ms", metric("latency_p95", 1000))
P99 = Panel("p99", "p99 of the duration", "ms", metric("latency_p99", 1000))
MEMORY = Panel("memory", "Memory", "MB", _memory)
UP = Panel("up", "Health probes answered", "%", metric("up", 100), 100)
CORES = Panel("cores", "Processor", "cores", lambda each: each.cpu_cores, 0.1)


def charts(
    look: Look, panels: Sequence[Panel], of: Sequence[str] = tuple(System)
) -> list[Chart]:
    """Return the charts of some panels, those without any data left out.

    Args:
        look: Of which migration, how far back.
        panels: Which charts.
        of: Of which systems; `SHADOW` for what is of both together.
    """
    read = {system: windows(look, system) for system in of}
    found = []
    for panel in panels:
        lines = []
        for system, measured in read.items():
            values = {at: panel.value(window) for at, window in measured.items()}
            name, colour = _LINES.get(system, (str(system), str(system)))
            lines.append(Values(name, colour, values))
        found.append(over_time(panel, lines))
    return framed(look, found)


def framed(look: Look, found: Sequence[Chart | None]) -> list[Chart]:
    """Return charts with the range as their axis and the decisions in it; None is left out."""
    start = begin(look).timestamp()
    decided, span = marks.marks(look, start), (start, look.now.timestamp())
    return [replace(each, marks=decided, span=span) for each in found if each is not None]


def over_time(panel: Panel, lines: Sequence[Values]) -> Chart | None:
    """Return a chart of lines, with a hole where nothing was measured; None without any value."""
    times, columns = aligned([each.values for each in lines])
    if not any(value is not None for each in columns for value in each):
        return None
    step = min((b - a for a, b in itertools.pairwise(times)), default=1)
    # a hole in the measurements is a hole in the line
    whole = with_gaps(times, step)
    places = {at: index for index, at in enumerate(times)}
    drawn = []
    for line, column in zip(lines, columns, strict=True):
        full = [column[places[at]] if at in places else None for at in whole]
        drawn.append(Line(line.name, line.colour, full))
    return Chart(
        panel.name, panel.title, panel.unit, whole, drawn,
        least_top=panel.least_top, floor=panel.floor)


def begin(look: Look) -> datetime:
    """Return where the range begins."""
    oldest = None
    # asked for only where it decides
    if look.range.length is None:
        oldest = look.kept.get(
            "oldest", 60, look.now.timestamp(),
            lambda: series.oldest(look.site.store, look.migration))
    return look.range.start(look.now, oldest)


def good_for(look: Look) -> float:
    """Return for how many seconds a chart of this range is good."""
    length = (look.now - begin(look)).total_seconds()
    return max(1.5, length / SHARE_OF_RANGE)


def windows(look: Look, system: str) -> dict[int, Window]:
    """Return what was measured of a system, by the second in which each window begins.

    Args:
        look: Of which migration, how far back.
        system: One of the systems, or `GATEWAY`: what arrived there and what it refused.
    """
    def made() -> dict[int, Window]:
        return {row.at: _window(row) for row in _rows(look, system)}

    key = "series", str(system), look.range.name
    return look.kept.get(key, good_for(look), look.now.timestamp(), made)


def windows_of(look: Look, system: str, subset: str) -> dict[int, Window]:
    """Return the same of one subset's requests; seconds in which nobody counted it are left out."""
    def made() -> dict[int, Window]:
        counted = (of_subset(row, subset) for row in _rows(look, system) if subset in row.subsets)
        return {row.at: _window(row) for row in counted}

    key = "series", str(system), subset, look.range.name
    return look.kept.get(key, good_for(look), look.now.timestamp(), made)


def total_of(look: Look, system: str, subset: str) -> Window:
    """Return what was measured of one subset's requests in the whole range."""
    rows = [of_subset(row, subset) for row in _rows(look, system)]
    return combine(rows, seconds=sum(row.resolution for row in rows))


def _rows(look: Look, system: str) -> list[Sample]:
    """Return a system's rows of the range, read once for all that is made of them."""
    def read() -> list[Sample]:
        return samples.series(
            look.site.store, look.migration, system, start=begin(look), end=look.now,
            points=_POINTS.get(system, MOST_POINTS))

    key = "rows", str(system), look.range.name
    return look.kept.get(key, good_for(look), look.now.timestamp(), read)


def total(look: Look, system: str) -> Window:
    """Return what was measured of a system in the whole range: the sum of its windows."""
    def summed() -> Window:
        return combined(list(windows(look, system).values()))

    key = "total", str(system), look.range.name
    return look.kept.get(key, good_for(look), look.now.timestamp(), summed)


def _window(row: Sample) -> Window:
    read = of_gateway(row) if row.system == GATEWAY else row
    return combine([read], seconds=row.resolution)
