"""A chart of any few lines over time, with bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from changeover.plan.units import format_number
from reports.canvas import BAD, BASELINE, CANDIDATE, INK, Chart, Scene, canvas, days_of, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"candidate": CANDIDATE, "baseline": BASELINE, "ink": INK, "bound": BAD}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of (time, value), and its band of (time, low, high) where there is one."""

    label: str
    points: tuple[tuple[datetime, float], ...]
    colour: Literal["candidate", "baseline", "ink", "bound"] = "candidate"
    band: tuple[tuple[datetime, float, float], ...] = ()
    is_stepped: bool = False


def line_chart(
    scene: Scene, lines: Sequence[Line], *, name: str, title: str, unit: str
) -> Chart:
    """Return a chart of lines, its axis from the lowest to the highest value.

    Args:
        scene: The time, and what is marked in it.
        lines: The lines; those without points are left out.
        name: Unique in the page.
        title: What it shows.
        unit: Of all values, behind a blank; may be empty.
    """
    from matplotlib.ticker import FuncFormatter

    figure, axes = canvas(scene)
    values, said = [], []
    for line in lines:
        # a point that is no number is a gap
        numbers = [value for _, value in line.points if not math.isnan(value)]
        if not numbers:
            continue
        values += numbers
        for _, low, high in line.band:
            values += [low, high]
        least, most = format_number(min(numbers)), format_number(max(numbers))
        shown = least if least == most else f"{least} to {most}"
        said.append(f"{line.label}: {shown} {unit}".rstrip())
        _draw(axes, line)
    lowest, highest = min(values), max(values)
    # lines at the edge would be cut in half, and equal values need some room as well
    margin = 0.08 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    axes.set_ylim(lowest - margin, highest + margin)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{format_number(value)} {unit}".rstrip()))
    return finish(figure, axes, name=name, title=title, summary=f"{title}. {'; '.join(said)}.")


def _draw(axes: Axes, line: Line) -> None:
    colour = _COLOURS[line.colour]
    times = [days_of(at) for at, _ in line.points]
    values = [value for _, value in line.points]
    dashes = (0, (5, 2)) if line.colour in ("baseline", "bound", "ink") else "solid"
    # one value alone would be no line
    marker = "o" if len(values) < 40 and line.colour != "bound" else None
    axes.plot(
        times, values, color=colour, linewidth=1.3, linestyle=dashes, label=line.label,
        marker=marker, markersize=2.5, drawstyle="steps-post" if line.is_stepped else "default")
    if line.band:
        edges = [days_of(at) for at, _, _ in line.band]
        axes.fill_between(
            edges, [low for _, low, _ in line.band], [high for _, _, high in line.band],
            color=colour, alpha=0.16, linewidth=0)
