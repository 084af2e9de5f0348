"""What a chart shows, as the page's script and its readers need it. Pure.

Values are in the unit that people read (percent, milliseconds), times are Unix seconds. A value
that is not known is None: a gap in the line, never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from changeover.plan.units import format_number

Tone = Literal["plain", "good", "warn", "bad"]
Value = float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Args:
        name: What it shows, for the legend.
        colour: Which of the page's colours: `baseline`, `candidate`, `ink`, `bound`,
            `good`, `goal` (a bound that is to be reached).
        values: By the chart's times.
        is_stepped: Whether a value holds until the next one.
    """

    name: str
    colour: str
    values: Sequence[Value]
    is_stepped: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A decision at a moment."""

    at: float
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart over time.

    Args:
        name: Unique in its page.
        title: For people.
        unit: Behind every value, as `%` or `ms`.
        times: Unix seconds, ascending.
        lines: Each with as many values as there are times.
        marks: Decisions, oldest first.
        least_top: The axis reaches at least here, so that noise does not look like an outage.
        floor: Where the axis begins; None where the values decide.
        span: First and last moment of the time axis; None where the times decide.
    """

    name: str
    title: str
    unit: str
    times: Sequence[float]
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    least_top: float = 1.0
    floor: float | None = 0.0
    span: tuple[float, float] | None = None

    @property
    def summary(self) -> str:
        """Say in words what the chart shows, for those who do not see it."""
        said = [f"{line.name}: {_extent(line.values, self.unit)}" for line in self.lines]
        return f"{self.title}. {'; '.join(said)}."

    def as_json(self) -> dict[str, Any]:
        """Return what the script draws."""
        lines = []
        for line in self.lines:
            lines.append({
                "name": line.name, "colour": line.colour,
                "stepped": line.is_stepped, "values": [short(each) for each in line.values]})
        marks = [{"at": each.at, "text": each.text, "tone": each.tone} for each in self.marks]
        return {
            "name": self.name, "title": self.title, "unit": self.unit,
            "times": list(self.times), "lines": lines, "marks": marks,
            "top": self.least_top, "floor": self.floor,
            "span": list(self.span) if self.span else None, "summary": self.summary}


def short(value: Value) -> Value:
    """Return a value with the digits that a chart can show; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.5g}")


def aligned(series: Sequence[Mapping[int, Value]]) -> tuple[list[int], list[list[Value]]]:
    """Bring several series to the same times.

    Args:
        series: Each from Unix seconds to its value.

    Returns:
        All times, ascending, and for each series its values, None where it has none.
    """
    times: set[int] = set()
    for each in series:
        times |= each.keys()
    ordered = sorted(times)
    return ordered, [[each.get(at) for at in ordered] for each in series]


def with_gaps(times: Sequence[int], step: int) -> list[int]:
    """Return the times with one more in each hole, where lines are to break.

    Args:
        times: Unix seconds, ascending.
        step: Seconds between two neighbours; thrice as much is a hole.
    """
    found: list[int] = []
    for at in times:
        if found and at - found[-1] > 3 * step:
            found.append(found[-1] + step)
        found.append(at)
    return found


def _extent(values: Sequence[Value], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "no data"
    low, high = format_number(min(known)), format_number(max(known))
    if low == high:
        return f"always {low} {unit}".rstrip()
    return f"{low} to {high} {unit}, now {format_number(known[-1])} {unit}".rstrip()
