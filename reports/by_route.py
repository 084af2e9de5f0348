"""What each route's requests met, for the cutover's report: tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports import text
from reports.canvas import Chart, Scene
from reports.charts import draw_series
from reports.model import Figures, RouteView

MOST_CHARTED = 8
"""Routes with charts; the table has all of them."""
CHARTED = ("error-rate", "latency-p95")
HEAD = ("Route", "Requests", "On the candidate now", "System", "Count", "Failed", "Seen by users",
        "p50", "p95")


def rows(found: Sequence[RouteView]) -> list[tuple[str, ...]]:
    """Return the table under `HEAD`: a row for each route and system."""
    return [_cells(view, figures) for view in found for figures in view.figures]


def _cells(view: RouteView, figures: Figures) -> tuple[str, ...]:
    window = figures.window
    failed = f"{text.count(figures.failed)} ({text.share(figures.value('error_rate'))})"
    return (
        view.route, view.requests, f"{view.percent:g} %, {view.stands}", figures.system,
        text.count(window.requests), failed, text.count(window.user_errors),
        text.milliseconds(figures.value("latency_p50")),
        text.milliseconds(figures.value("latency_p95")))


def as_markdown(found: Sequence[RouteView]) -> str:
    """Return the table as Markdown."""
    return text.markdown_table(HEAD, rows(found))


def named(view: RouteView, chart: Chart) -> Chart:
    """Return a chart under the name of its route."""
    return replace(chart, name=f"{chart.name}-of-{view.route}",
                   title=f"{chart.title}: route {view.route}")


def draw(scene: Scene, found: Sequence[RouteView]) -> list[Chart]:
    """Return the charts of the routes that have any value."""
    charts = []
    for view in found:
        charts += [named(view, each) for each in draw_series(scene, view.series, CHARTED)]
    return charts
