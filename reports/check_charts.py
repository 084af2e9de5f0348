"""Charts of checks over time: their numbers against the bound. And when each would have decided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.plan.metrics import METRICS
from reports import text
from reports.canvas import Chart, Scene
from reports.check_series import CheckSeries, Decided, against_bound
from reports.lines import Line, line_chart

MOST_CHARTS = 8
"""Checks that are drawn; the JSON report has all."""
HEAD = ("Stage", "Gate", "Check", "Would have passed", "Would have failed", "At the end", "Moments")


@dataclass(frozen=True, slots=True)
class _Scale:
    """How a number is drawn: times `factor`, with `unit` behind it."""

    factor: float
    unit: str


_UNITS = {"share": _Scale(100, "%"), "duration": _Scale(1000, "ms"), "size": _Scale(1e-6, "MB"),
          "number": _Scale(1, "")}


def draw(scene: Scene, every: Sequence[CheckSeries]) -> list[Chart]:
    """Return the charts of checks that have numbers and a bound, at most `MOST_CHARTS`."""
    charts: list[Chart] = []
    for one in every:
        lines = list(_lines(scene, one))
        if lines and len(charts) < MOST_CHARTS:
            name = f"check-{len(charts) + 1}"
            title = f"Gate {one.gate}: {text.metric_words(one.metric)} of {one.of} {one.bound}"
            charts.append(line_chart(
                scene, lines, name=name, title=title, unit=_scale(one).unit))
    return charts


def _scale(one: CheckSeries) -> _Scale:
    if one.measure == "evidence":
        return _Scale(1, "")
    if one.measure == "ratio":
        return _Scale(1, "×")
    return _UNITS[METRICS[one.metric].unit if one.metric in METRICS else "number"]


def _lines(scene: Scene, one: CheckSeries) -> Iterator[Line]:
    """Yield a check's numbers, its evidence of health where there is any, and the bound."""
    factor = _scale(one).factor
    values: list[tuple[datetime, float]] = []
    band, health = [], []
    stage = ""
    for point in one.points:
        # a stage's evidence is its own: no line leads from one to the next
        if values and point.stage != stage:
            values.append((point.at, math.nan))
        stage = point.stage
        number = against_bound(one.measure, point)
        if number is not None:
            values.append((point.at, number * factor))
        if one.measure == "value" and point.low is not None and point.high is not None:
            band.append((point.at, point.low * factor, point.high * factor))
        if one.measure == "evidence" and point.health is not None and point.health_bar:
            health.append((point.at, point.health / point.health_bar))
    # one that never had a number, or has no number as its bound, has no chart
    bounds = (1.0,) if one.measure == "evidence" else one.bounds
    if not values or not bounds:
        return
    what = {"value": "value", "ratio": "ratio to the baseline",
            "difference": "difference to the baseline",
            "evidence": "evidence of harm, of what fails"}[one.measure]
    yield Line(what, tuple(values), "candidate", tuple(band))
    if health:
        yield Line("evidence of health, of what passes", tuple(health), "ink")
    for bound in bounds:
        edges = (scene.start, bound * factor), (scene.right, bound * factor)
        yield Line("bound", edges, "bound")


def rows(found: Sequence[Decided], titles: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the cells of `HEAD`."""
    cells: list[tuple[str, ...]] = []
    for each in found:
        cells.append((
            titles.get(each.stage, each.stage), each.gate, each.check,
            _after(each.passed_after), _after(each.failed_after), text.status(each.verdict),
            text.count(each.moments)))
    return cells


def _after(seconds: float | None) -> str:
    return "–" if seconds is None else f"after {text.duration(seconds)}"
