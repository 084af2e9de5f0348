"""The paper on which charts are drawn: a time axis with decisions' marks, as small inline SVG.

Drawn by matplotlib without touching its global state. Colours are CSS variables with a fallback, so
that the page's light or dark scheme decides; text stays text. The same data gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from reports.model import Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# points, 72 to an inch; the plot keeps its height, marks above it make the chart taller
WIDTH, PLOT_HEIGHT, MARK_ROW, TOP, BOTTOM = 660.0, 120.0, 11.0, 20.0, 24.0
LEFT, RIGHT = 54.0, 20.0
FONT_SIZE = 8.5
MARK_ROWS = 3
SHORTEST = timedelta(seconds=8)

# Drawn in these, and replaced by CSS variables afterwards. The palette is Okabe and Ito's, which
# people with any colour vision can tell apart; lines differ in dashes as well.
INK, GRID, BASELINE, CANDIDATE, GOOD, WARN, BAD = (f"#0000{n:02x}" for n in range(1, 8))
_VARIABLES = {
    INK: "var(--chart-ink, #333333)",
    GRID: "var(--chart-grid, #d5d9de)",
    BASELINE: "var(--baseline, #0072b2)",
    CANDIDATE: "var(--candidate, #d55e00)",
    GOOD: "var(--good, #00724f)",
    WARN: "var(--warn, #8a6100)",
    BAD: "var(--bad, #b3261e)",
}
SYSTEM_COLOURS = {"baseline": BASELINE, "candidate": CANDIDATE}
SYSTEM_DASHES = {"baseline": (0, (4, 1.6)), "candidate": "solid"}
_MARK_COLOURS = {"promotion": GOOD, "hold": WARN, "rollback": BAD, "trigger": BAD}
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
class Scene:
    """What all charts of a report share: the time that they show, decisions, the systems' names."""

    start: datetime
    end: datetime
    marks: Sequence[Mark]
    systems: Mapping[str, str]

    @property
    def right(self) -> datetime:
        """The right edge: never so near that ticks fall between seconds."""
        return max(self.end, self.start + SHORTEST)


def canvas(scene: Scene) -> tuple[Figure, Axes]:
    """Return an empty chart with the time axis, its grid and the decisions' marks."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    placed = _place(scene)
    rows = 1 + max((row for _, _, row in placed), default=-1)
    top = TOP + rows * MARK_ROW
    height = top + PLOT_HEIGHT + BOTTOM
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / height, (WIDTH - LEFT - RIGHT) / WIDTH,
                            PLOT_HEIGHT / height))
    figure.patch.set_visible(False)  # the page's own background, light or dark
    axes.patch.set_visible(False)
    axes.set_xlim(days_of(scene.start), days_of(scene.right))
    # with five ticks at least, as by itself, some spans have no unit that fits, and it warns
    locator = AutoDateLocator(  # type: ignore[no-untyped-call]
        tz=UTC, minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=_TIMES, zero_formats=_ROUND_TIMES, offset_formats=_DATES
    )
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=FONT_SIZE, length=2, width=0.6)
    axes.xaxis.get_offset_text().set(color=INK, fontsize=FONT_SIZE)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=GRID, linewidth=0.8)
    _draw_marks(axes, scene, placed)
    return figure, axes


def _draw_marks(
    axes: Axes, scene: Scene, placed: Sequence[tuple[Mark, float, int]]
) -> None:
    """Draw every mark as a vertical line, and the labels that found room above the plot."""
    for mark in scene.marks:
        colour, dashes = _MARK_COLOURS[mark.kind], _MARK_DASHES[mark.kind]
        axes.axvline(days_of(mark.at), color=colour, linestyle=dashes, linewidth=1.0)
    for mark, left, row in placed:
        axes.annotate(
            mark.label, xy=(left - LEFT, PLOT_HEIGHT + 2 + row * MARK_ROW),
            xycoords="axes points", color=_MARK_COLOURS[mark.kind], fontsize=FONT_SIZE - 0.5,
            annotation_clip=False, parse_math=False,
        )


def _place(scene: Scene) -> list[tuple[Mark, float, int]]:
    """Return (mark, left edge in points, row) of each label that fits; the others go unlabelled.

    A label starts at its line, moved left at the chart's right edge, in the lowest row where it
    touches no other. What does not fit is in the timeline.
    """
    total = (scene.right - scene.start).total_seconds()
    ends = [-math.inf] * MARK_ROWS
    placed = []
    for mark in scene.marks:
        share = (mark.at - scene.start).total_seconds() / total
        # the width of a label is estimated: measuring it would draw the chart twice
        width = len(mark.label) * (FONT_SIZE - 0.5) * 0.58 + 6
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        left = min(x, WIDTH - width)
        row = next((row for row in range(MARK_ROWS) if left >= ends[row]), None)
        if row is not None:
            ends[row] = left + width
            placed.append((mark, left, row))
    return placed


def finish(figure: Figure, axes: Axes, *, name: str, title: str, summary: str) -> Chart:
    """Return a drawn chart with its legend as inline SVG."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        height = figure.get_figheight() * 72
        legend = figure.legend(
            handles, labels, loc="upper left", ncols=len(handles), frameon=False,
            fontsize=FONT_SIZE, labelcolor=INK, borderaxespad=0, borderpad=0, handlelength=2.6,
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


def days_of(at: datetime) -> float:
    """Return a time as matplotlib counts it: days since 1970."""
    return at.timestamp() / 86_400


def short(name: str) -> str:
    """Return a system's name for a legend."""
    return name if len(name) <= 24 else f"{name[:23]}…"
