"""Charts over time as small inline SVG, drawn by matplotlib without touching its global state.

Colours are CSS variables with a fallback, so that the page's light or dark scheme decides; text
stays text. The same data gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from changeover.plan.units import format_size
from reports import text
from reports.model import SYSTEMS, Mark, Point, ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

# points, 72 to an inch; the plot keeps its height, marks above it make the chart taller
WIDTH, PLOT_HEIGHT, MARK_ROW, TOP, BOTTOM = 660.0, 120.0, 11.0, 20.0, 24.0
LEFT, RIGHT = 54.0, 20.0
FONT_SIZE = 8.5
MARK_ROWS = 3
SHORTEST = timedelta(seconds=8)

# Drawn in these, and replaced by CSS variables afterwards. The palette is Okabe and Ito's, which
# people with any colour vision can tell apart; lines differ in dashes as well.
_INK, _GRID, _BASELINE, _CANDIDATE, _GOOD, _WARN, _BAD = (f"#0000{n:02x}" for n in range(1, 8))
_VARIABLES = {
    _INK: "var(--chart-ink, #333333)",
    _GRID: "var(--chart-grid, #d5d9de)",
    _BASELINE: "var(--baseline, #0072b2)",
    _CANDIDATE: "var(--candidate, #d55e00)",
    _GOOD: "var(--good, #00724f)",
    _WARN: "var(--warn, #8a6100)",
    _BAD: "var(--bad, #b3261e)",
}
_SYSTEM_COLOURS = {"baseline": _BASELINE, "candidate": _CANDIDATE}
_SYSTEM_DASHES = {"baseline": (0, (4, 1.6)), "candidate": "solid"}
_MARK_COLOURS = {"promotion": _GOOD, "hold": _WARN, "rollback": _BAD, "trigger": _BAD}
_MARK_DASHES = {"promotion": (0, (1, 1)), "hold": (0, (4, 2)), "rollback": "solid",
                "trigger": (0, (6, 1, 1, 1))}
# By the ticks' distance: years, months, days, hours, minutes, seconds.
_TIMES = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
_ROUND_TIMES = ["", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M:%S"]
_DATES = ["", "%Y", "%Y", "%Y-%m-%d UTC", "%Y-%m-%d UTC", "%Y-%m-%d UTC"]
_drawing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: `name` is unique in the page, `summary` says in words what it shows."""

    name: str
    title: str
    summary: str
    svg: str


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
           lambda v: f"{v:.3g} %", 1.0),
    _Panel("latency-p95", "p95 latency of both systems", "latency_p95_seconds", 1000,
           lambda v: f"{v:.4g} ms", 1.0),
    _Panel("requests", "Requests per second", "request_rate", 1, lambda v: f"{v:.3g} /s", 1.0),
    _Panel("memory", "Memory of both systems", "memory_bytes", 1, format_size, 1e6),
)


def draw(data: ReportData) -> list[Chart]:
    """Return the charts of a report: traffic share, error rate, p95, requests, memory if known.

    Charts without any value are left out; without measurements there is none at all.
    """
    if data.end <= data.start or not any(data.series.values()):
        return []
    charts = [_share_chart(data)]
    for panel in _PANELS:
        lines = {system: _line_of(data, system, panel) for system in SYSTEMS}
        if any(line.notna().any() for line in lines.values()):
            charts.append(_panel_chart(data, panel, lines))
    return charts


def _frame(data: ReportData, system: str) -> DataFrame:
    """Return a system's points as a table, by the middle of their time."""
    # imported when a report is rendered: no flow or command pays for it at its start
    import pandas as pd

    columns = [each.name for each in fields(Point)]
    frame = pd.DataFrame(list(data.series.get(system, ())), columns=columns)
    # a point stands for a span of time: drawn at its beginning, all would seem too early
    middle = pd.to_datetime(frame["at"], utc=True) + pd.to_timedelta(frame["seconds"], unit="s") / 2
    return frame.drop(columns=["at"]).set_index(middle).astype(float)


def _line_of(data: ReportData, system: str, panel: _Panel) -> Series[float]:
    return _frame(data, system)[panel.column] * panel.scale


def _share_chart(data: ReportData) -> Chart:
    figure, axes = _canvas(data)
    # the last share is drawn to the chart's right edge
    times = [*(_x(step.at) for step in data.weights), _x(_end(data))]
    shares = [step.weight / 100 for step in data.weights]
    axes.fill_between(times, [*shares, shares[-1]], step="post", color=_CANDIDATE, alpha=0.18,
                      linewidth=0)
    axes.step(times, [*shares, shares[-1]], where="post", color=_CANDIDATE, linewidth=1.6,
              label=f"decided share of users on {_short(data.systems['candidate'])}")
    measured = _measured_share(data)
    if not measured.empty:
        axes.plot(_days(measured), measured, color=_INK, linewidth=0.8,
                  linestyle=(0, (2, 1.2)), label="measured share of requests")
    # a little beyond 0 and 100 %: a line at the edge would be cut in half
    axes.set_ylim(-2, 104)
    axes.set_yticks([0, 25, 50, 75, 100], [f"{tick} %" for tick in (0, 25, 50, 75, 100)])
    highest = text.percent(max(step.weight for step in data.weights))
    summary = (f"Decided share of users on the candidate over time: {len(data.weights)} steps, "
               f"highest {highest}, at the end {text.percent(data.weights[-1].weight)}.")
    return _finish(figure, axes, name="traffic-share", title="Traffic share of the candidate",
                   summary=summary)


def _measured_share(data: ReportData) -> Series[float]:
    """Return the candidate's share of requests in percent, where both systems were measured."""
    candidate, baseline = (_frame(data, name)["requests"] for name in ("candidate", "baseline"))
    # with 0 where only one system was measured: it had all the requests
    total = candidate.add(baseline, fill_value=0)
    share = 100 * candidate.reindex(total.index, fill_value=0) / total
    return share[total > 0]


def _panel_chart(data: ReportData, panel: _Panel, lines: dict[str, Series[float]]) -> Chart:
    from matplotlib.ticker import FuncFormatter

    figure, axes = _canvas(data)
    # a chart of zeros must not be stretched until noise looks like an outage
    highest = panel.least_top
    said = []
    for system, line in lines.items():
        if line.isna().all():
            said.append(f"{data.systems[system]}: no data")
            continue
        highest = max(highest, line.max())
        said.append(f"{data.systems[system]}: {panel.show(line.min())} to "
                    f"{panel.show(line.max())}")
        _draw_line(axes, data, system, line)
    axes.set_ylim(-0.02 * highest, highest * 1.08)  # a line at zero stays visible
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: panel.show(value)))
    return _finish(figure, axes, name=panel.name, title=panel.title,
                   summary=f"{panel.title}. {'; '.join(said)}.")


def _draw_line(axes: Axes, data: ReportData, system: str, line: Series[float]) -> None:
    """Draw one system's line; a point without neighbours would be no line and gets a dot."""
    colour = _SYSTEM_COLOURS[system]
    axes.plot(_days(line), line, color=colour, linewidth=1.3, linestyle=_SYSTEM_DASHES[system],
              label=f"{system} ({_short(data.systems[system])})", solid_joinstyle="round")
    alone = line[line.notna() & line.shift().isna() & line.shift(-1).isna()]
    if not alone.empty:
        axes.plot(_days(alone), alone, color=colour, linestyle="none", marker="o", markersize=2.5)


def _days(line: Series[float]) -> list[float]:
    """Return the times of a line as matplotlib counts them."""
    return [_x(at) for at in line.index]


def _canvas(data: ReportData) -> tuple[Figure, Axes]:
    """Return an empty chart with the time axis, its grid and the decisions' marks."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    placed = _place(data)
    rows = 1 + max((row for _, _, row in placed), default=-1)
    top = TOP + rows * MARK_ROW
    height = top + PLOT_HEIGHT + BOTTOM
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / height, (WIDTH - LEFT - RIGHT) / WIDTH,
                            PLOT_HEIGHT / height))
    figure.patch.set_visible(False)  # the page's own background, light or dark
    axes.patch.set_visible(False)
    axes.set_xlim(_x(data.start), _x(_end(data)))
    locator = AutoDateLocator(tz=UTC, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=_TIMES, zero_formats=_ROUND_TIMES, offset_formats=_DATES
    )
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=FONT_SIZE, length=2, width=0.6)
    axes.xaxis.get_offset_text().set(color=_INK, fontsize=FONT_SIZE)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=_GRID, linewidth=0.8)
    _draw_marks(axes, data, placed)
    return figure, axes


def _draw_marks(
    axes: Axes, data: ReportData, placed: Sequence[tuple[Mark, float, int]]
) -> None:
    """Draw every mark as a vertical line, and the labels that found room above the plot."""
    for mark in data.marks:
        axes.axvline(_x(mark.at), color=_MARK_COLOURS[mark.kind], linestyle=_MARK_DASHES[mark.kind],
                     linewidth=1.0)
    for mark, left, row in placed:
        axes.annotate(
            mark.label, xy=(left - LEFT, PLOT_HEIGHT + 2 + row * MARK_ROW),
            xycoords="axes points", color=_MARK_COLOURS[mark.kind], fontsize=FONT_SIZE - 0.5,
            annotation_clip=False, parse_math=False,
        )


def _place(data: ReportData) -> list[tuple[Mark, float, int]]:
    """Return (mark, left edge in points, row) of each label that fits; the others go unlabelled.

    A label starts at its line, moved left at the chart's right edge, in the lowest row where it
    touches no other. What does not fit is in the timeline.
    """
    total = (_end(data) - data.start).total_seconds()
    ends = [-math.inf] * MARK_ROWS
    placed = []
    for mark in data.marks:
        share = (mark.at - data.start).total_seconds() / total
        # the width of a label is estimated: measuring it would draw the chart twice
        width = len(mark.label) * (FONT_SIZE - 0.5) * 0.58 + 6
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        left = min(x, WIDTH - width)
        row = next((row for row in range(MARK_ROWS) if left >= ends[row]), None)
        if row is not None:
            ends[row] = left + width
            placed.append((mark, left, row))
    return placed


def _finish(figure: Figure, axes: Axes, *, name: str, title: str, summary: str) -> Chart:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        height = figure.get_figheight() * 72
        legend = figure.legend(
            handles, labels, loc="upper left", ncols=len(handles), frameon=False,
            fontsize=FONT_SIZE, labelcolor=_INK, borderaxespad=0, borderpad=0, handlelength=2.6,
            bbox_to_anchor=(LEFT / WIDTH, 1 - 4 / height),
        )
        # a name with `$` in it is no formula
        for label in legend.get_texts():
            label.set_parse_math(False)
    return Chart(name, title, summary, _svg(figure, name, summary))


def _svg(figure: Figure, name: str, summary: str) -> str:
    """Return the figure as inline SVG; one at a time, for the settings are global in matplotlib."""
    import matplotlib as mpl
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": True}
    with _drawing, mpl.rc_context(settings):
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):]  # without the head of a file: it stands inside a page
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<= )id="', f'id="{name}-', svg)  # ids are unique in the page, not the chart
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    # the page's own font: none is taken along
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--font, sans-serif)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    # a new opening: without a fixed size the chart follows the page's width
    view = re.search(r'viewBox="[^"]+"', svg)
    opening = (f'<svg class="chart" {view[0] if view else ""} role="img" '
               f'aria-label="{escape(summary)}" xmlns="http://www.w3.org/2000/svg" '
               'xmlns:xlink="http://www.w3.org/1999/xlink">')
    return opening + svg[svg.index(">") + 1:].strip()


def _end(data: ReportData) -> datetime:
    """Return the right edge of the charts: never so near that ticks fall between seconds."""
    return max(data.chart_end, data.start + SHORTEST)


def _x(at: datetime) -> float:
    """Return a time as matplotlib counts it: days since 1970."""
    return at.timestamp() / 86_400


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
