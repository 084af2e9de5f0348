"""The evidence of checks over time, as lines beside the bounds that decide. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from changeover.analysis.check import describe_bound
from changeover.console.pages.charts import Chart, Line, Value, with_gaps
from changeover.console.pages.ranges import MOST_POINTS
from changeover.domain.courses import Moment
from changeover.plan.conditions import CheckSpec, Condition
from changeover.plan.metrics import Unit
from changeover.plan.subsets import in_words

Point = Mapping[str, Any] | None
_SCALES: dict[Unit, tuple[float, str]] = {
    "share": (100.0, "%"), "duration": (1000.0, "ms"), "size": (1e-6, "MB"), "number": (1.0, "")}
NARROW, WIDE = 0.1, 0.9
"""Where a strip's ends are drawn, as shares of its width."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a check stands in the plan: which line is whose."""

    gate: str
    index: int
    check: CheckSpec

    @property
    def name(self) -> str:
        """Name of its charts."""
        return f"{self.gate}-{self.index}"

    @property
    def title(self) -> str:
        """What it asks, for people: two checks may be of the same metric."""
        asked = self.check
        where = f" at {asked.path}" if asked.path else ""
        what = f"{asked.measured.words}{where}{in_words(asked.subset)}"
        return f"{self.gate}: {what} {describe_bound(asked)}"


def places(gates: Mapping[str, Sequence[CheckSpec]]) -> list[Place]:
    """Return the checks of all gates in the plan's order."""
    found = []
    for gate, checks in gates.items():
        for index, check in enumerate(checks):
            found.append(Place(gate, index, check))
    return found


def charts_of(place: Place, moments: Sequence[Moment]) -> list[Chart]:
    """Return a check's charts: its value beside the bound, and its evidence where that decides.

    Args:
        place: The check.
        moments: How the gates stood, in order; those of other gates are left out.
    """
    mine = [each for each in moments if each.gate == place.gate]
    step = max(1, -(-len(mine) // MOST_POINTS))
    # the newest is always there, whatever is left out before it
    mine = mine[::-1][::step][::-1]
    # of two in one second the later one counts
    known = {int(each.at.timestamp()): each for each in mine}
    times = sorted(known)
    whole = with_gaps(times, _usual_step(times))
    points = [_point(known.get(at), place.index) for at in whole]
    found = [_values(place, whole, points)]
    if any(point and "worse" in point for point in points):
        found.append(_weighed(place, whole, points))
    return [each for each in found if any(_has_data(line) for line in each.lines)]


def limits(check: Condition, baseline: float | None) -> tuple[float, ...]:
    """Return the values at which a check turns, in the metric's own unit; empty when unknown.

    Args:
        check: The check.
        baseline: The baseline's value, where the bound is relative to it.
    """
    name, values = check.bound_name, check.bound_values
    if not check.is_to_baseline:
        return values
    if baseline is None:
        return ()
    is_falling = getattr(check, "direction", None) == "decrease"
    if name == "ratio_to_baseline":
        return (baseline * values[0],)
    return (baseline - values[0] if is_falling else baseline + values[0],)


@dataclass(frozen=True, slots=True)
class Strip:
    """A value with its interval beside its bound, as places 0..100 on a line.

    Args:
        low: Where the interval begins.
        value: Where the value is.
        high: Where it ends.
        bound: Where the check turns.
    """

    low: float
    value: float
    high: float
    bound: float


def strip(check: CheckSpec, evidence: Mapping[str, Any]) -> Strip | None:
    """Return where a check's interval lies beside its bound; None where none is known.

    Args:
        check: The check.
        evidence: As the store keeps it.
    """
    found = evidence.get("interval")
    if not found or check.bound_name == "between":
        return None
    # of a difference or a ratio the bound is of the same kind, else the value's own
    is_relative = found["of"] in ("ratio", "difference")
    if is_relative is not check.is_to_baseline:
        return None
    bound = check.bound_values[0]
    if getattr(check, "direction", None) == "decrease" and found["of"] == "difference":
        bound = -bound
    numbers = [found["low"], found["value"] if is_relative else evidence["value"],
               found["high"], bound]
    if any(number is None for number in numbers):
        return None
    least, most = min(numbers), max(numbers)
    width = (most - least) or 1.0
    at = [100 * (NARROW + (WIDE - NARROW) * (each - least) / width) for each in numbers]
    return Strip(*[round(each, 1) for each in at])


def _usual_step(times: Sequence[int]) -> int:
    """Return the usual distance of two times: pauses between stages are longer."""
    apart = sorted(b - a for a, b in itertools.pairwise(times))
    return max(1, apart[len(apart) // 2]) if apart else 1


def _point(moment: Moment | None, index: int) -> Point:
    # a plan that was amended may have fewer checks than it had
    if moment is None or index >= len(moment.checks):
        return None
    return moment.checks[index]


def _column(points: Sequence[Point], key: str, scale: float = 1.0) -> list[Value]:
    found: list[Value] = []
    for point in points:
        value = point.get(key) if point else None
        found.append(None if value is None else value * scale)
    return found


def _values(place: Place, times: Sequence[int], points: Sequence[Point]) -> Chart:
    """Return the value over time: as a multiple of the baseline's where that is what is judged."""
    check = place.check
    name, title = f"{place.name}-value", place.title
    if check.bound_name == "ratio_to_baseline" and any(
            point and point.get("of") == "ratio" for point in points):
        bound = [check.bound_values[0] if point else None for point in points]
        lines = [Line("times the baseline", "candidate", _column(points, "middle")),
                 *_interval(points, 1.0), Line("bound", "bound", bound)]
        return Chart(name, title, "× baseline", times, lines)
    scale, unit = _SCALES[check.measured.unit]
    lines = [Line(check.of, check.of, _column(points, "value", scale))]
    if check.is_to_baseline:
        lines.append(Line("baseline", "baseline", _column(points, "baseline", scale)))
    # that of a difference is of another number
    own = [each if each and each.get("of") == "value" else None for each in points]
    lines += _interval(own, scale)
    for side, words in enumerate(("bound", "upper bound")):
        column: list[Value] = []
        for point in points:
            found = limits(check, point.get("baseline")) if point else ()
            column.append(found[side] * scale if len(found) > side else None)
        if any(value is not None for value in column):
            lines.append(Line(words, "bound", column))
    # what must be high is near the top: from 0 on nobody would see it move
    floor = None if check.bound_name in ("at_least", "above") else 0.0
    return Chart(name, title, unit, times, lines, least_top=0.0, floor=floor)


def _interval(points: Sequence[Point], scale: float) -> list[Line]:
    """Return the ends of the interval as lines; nothing where no point has one."""
    found = [Line("95 % from", "ink", _column(points, "low", scale)),
             Line("95 % to", "ink", _column(points, "high", scale))]
    return [line for line in found if _has_data(line)]


def _weighed(place: Place, times: Sequence[int], points: Sequence[Point]) -> Chart:
    """Return the evidence over time: of harm beside what fails, of health beside what passes."""
    lines = [
        Line("harm", "candidate", _column(points, "worse")),
        Line("fails at", "bound", _column(points, "bar")),
        Line("health", "good", _column(points, "better")),
        Line("passes at", "goal", _column(points, "goal"))]
    return Chart(
        f"{place.name}-evidence", f"{place.title}, evidence", "", times,
        [line for line in lines if _has_data(line)], floor=None)


def _has_data(line: Line) -> bool:
    return any(value is not None for value in line.values)
