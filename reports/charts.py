"""Charts over time of both systems: traffic share, errors, latency, requests, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from changeover.plan.units import format_number, format_size
from reports import text
from reports.canvas import (
    CANDIDATE,
    INK,
    MARK_ROWS,
    SYSTEM_COLOURS,
    SYSTEM_DASHES,
    Chart,
    Scene,
    canvas,
    days_of,
    finish,
    short,
)
from reports.model import SYSTEMS, OutcomePoint, Point, ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import Series

__all__ = ["MARK_ROWS", "Chart", "draw", "scene_of"]


@dataclass(frozen=True, slots=True)
class _Panel:
    """What one chart draws: a column of both systems' points, in the axis' unit."""

    name: str
    title: str
    column: str
    scale: float
    show: Callable[[float], str]
    least_top: float


_PANELS = (
    _Panel("error-rate", "Error rate of both systems", "error_rate", 100,
           lambda v: f"{format_number(v, 3)} %", 1.0),
    _Panel("latency-p95", "p95 latency of both systems", "latency_p95_seconds", 1000,
           lambda v: f"{format_number(v)} ms", 1.0),
    _Panel("requests", "Requests per second", "request_rate", 1,
           lambda v: f"{format_number(v)} /s", 1.0),
    _Panel("memory", "Memory of both systems", "memory_bytes", 1, format_size, 1e6),
)


_OUTCOMES = (
    _Panel("outcome-errors", "Outcomes without success of both systems", "outcome_error_rate", 100,
           lambda v: f"{format_number(v, 3)} %", 1.0),
    _Panel("outcome-p95", "p95 of the outcomes' durations", "outcome_duration_p95_seconds", 1,
           lambda v: f"{format_number(v)} s", 1.0),
    _Panel("outcomes", "Outcomes per second", "outcome_rate", 1,
           lambda v: f"{format_number(v)} /s", 1.0),
)
"""Instead of what the gateway saw, where users do not come through it."""


SeriesBySystem = Mapping[str, Sequence[Point | OutcomePoint]]
"""The points of each system's line."""


def draw(data: ReportData) -> list[Chart]:
    """Return the charts of a report: traffic share, error rate, p95, requests, memory if known.

    Where users do not come through the gateway, those of reported outcomes stand for those of
    requests. Charts without any value are left out; without measurements there is none at all.
    """
    if data.end <= data.start or not any(data.series.values()):
        return []
    scene = scene_of(data)
    share = _share_chart(scene, data)
    if data.is_by_outcomes:
        return [share, *_drawn(scene, data.outcome_series, _OUTCOMES),
                *draw_series(scene, data.series, ("memory",))]
    return [share, *draw_series(scene, data.series)]


def draw_series(
    scene: Scene, series: SeriesBySystem, names: Sequence[str] = ()
) -> list[Chart]:
    """Return the charts of both systems' figures that have any value.

    Args:
        scene: The time, and what is marked in it.
        series: The points of each system.
        names: Which charts; empty: all.
    """
    wanted = [panel for panel in _PANELS if not names or panel.name in names]
    return _drawn(scene, series, wanted)


def _drawn(scene: Scene, series: SeriesBySystem, panels: Sequence[_Panel]) -> list[Chart]:
    charts = []
    for panel in panels:
        lines = {system: _line_of(series, system, panel) for system in SYSTEMS}
        if any(line.notna().any() for line in lines.values()):
            charts.append(_panel_chart(scene, panel, lines))
    return charts


def _column(series: SeriesBySystem, system: str, name: str) -> Series[float]:
    """Return one figure of a system's points, by the middle of their time."""
    # imported when a report is rendered: no flow or command pays for it at its start
    import pandas as pd

    rows = [(point.at, point.seconds, getattr(point, name)) for point in series.get(system, ())]
    frame = pd.DataFrame(rows, columns=["at", "seconds", name])
    # a point stands for a span of time: drawn at its beginning, all would seem too early
    middle = pd.to_datetime(frame["at"], utc=True) + pd.to_timedelta(frame["seconds"], unit="s") / 2
    return frame.set_index(middle)[name].astype(float)


def _line_of(series: SeriesBySystem, system: str, panel: _Panel) -> Series[float]:
    return _column(series, system, panel.column) * panel.scale


def _share_chart(scene: Scene, data: ReportData) -> Chart:
    figure, axes = canvas(scene)
    # the last share is drawn to the chart's right edge
    times = [*(days_of(step.at) for step in data.weights), days_of(scene.right)]
    shares = [step.weight / 100 for step in data.weights]
    axes.fill_between(times, [*shares, shares[-1]], step="post", color=CANDIDATE, alpha=0.18,
                      linewidth=0)
    axes.step(times, [*shares, shares[-1]], where="post", color=CANDIDATE, linewidth=1.6,
              label=f"decided share of users on {short(scene.systems['candidate'])}")
    what = "outcomes" if data.is_by_outcomes else "requests"
    measured = _measured_share(
        data.outcome_series if data.is_by_outcomes else data.series, what)
    if not measured.empty:
        axes.plot(_days(measured), measured, color=INK, linewidth=0.8,
                  linestyle=(0, (2, 1.2)), label=f"measured share of {what}")
    # a little beyond 0 and 100 %: a line at the edge would be cut in half
    axes.set_ylim(-2, 104)
    axes.set_yticks([0, 25, 50, 75, 100], [f"{tick} %" for tick in (0, 25, 50, 75, 100)])
    highest = text.percent(max(step.weight for step in data.weights))
    summary = (f"Decided share of users on the candidate over time: {len(data.weights)} steps, "
               f"highest {highest}, at the end {text.percent(data.weights[-1].weight)}.")
    return finish(figure, axes, name="traffic-share", title="Traffic share of the candidate",
                   summary=summary)


def _measured_share(series: SeriesBySystem, what: str) -> Series[float]:
    """Return the candidate's share in percent, where any system was measured."""
    candidate, baseline = (_column(series, name, what) for name in ("candidate", "baseline"))
    # with 0 where only one system was measured: it had all the requests
    total = candidate.add(baseline, fill_value=0)
    share = 100 * candidate.reindex(total.index, fill_value=0) / total
    return share[total > 0]


def _panel_chart(scene: Scene, panel: _Panel, lines: dict[str, Series[float]]) -> Chart:
    from matplotlib.ticker import FuncFormatter

    figure, axes = canvas(scene)
    # a chart of zeros must not be stretched until noise looks like an outage
    highest = panel.least_top
    said = []
    for system, line in lines.items():
        if line.isna().all():
            said.append(f"{scene.systems[system]}: no data")
            continue
        highest = max(highest, line.max())
        said.append(f"{scene.systems[system]}: {panel.show(line.min())} to "
                    f"{panel.show(line.max())}")
        _draw_line(axes, scene, system, line)
    axes.set_ylim(-0.02 * highest, highest * 1.08)  # a line at zero stays visible
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: panel.show(value)))
    return finish(figure, axes, name=panel.name, title=panel.title,
                   summary=f"{panel.title}. {'; '.join(said)}.")


def _draw_line(axes: Axes, scene: Scene, system: str, line: Series[float]) -> None:
    """Draw one system's line; a point without neighbours would be no line and gets a dot."""
    colour = SYSTEM_COLOURS[system]
    axes.plot(_days(line), line, color=colour, linewidth=1.3, linestyle=SYSTEM_DASHES[system],
              label=f"{system} ({short(scene.systems[system])})", solid_joinstyle="round")
    alone = line[line.notna() & line.shift().isna() & line.shift(-1).isna()]
    if not alone.empty:
        axes.plot(_days(alone), alone, color=colour, linestyle="none", marker="o", markersize=2.5)


def _days(line: Series[float]) -> list[float]:
    """Return the times of a line as matplotlib counts them."""
    return [days_of(at) for at in line.index]


def scene_of(data: ReportData) -> Scene:
    """Return what all charts of a report share."""
    return Scene(data.start, data.chart_end, data.marks, data.systems)
