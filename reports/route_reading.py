"""What was measured of each route, for the report of a cutover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from changeover.analysis.window import Sample, of_subset
from changeover.plan.model import Plan
from changeover.plan.subsets import subset_of_route
from changeover.site import route_status
from changeover.store import routing
from changeover.store.engine import Store
from changeover.store.subset_windows import windows_of
from reports import measures
from reports.by_route import MOST_CHARTED
from reports.model import SYSTEMS, Figures, RouteView
from reports.reading import Span, system_names

Rows = Mapping[str, Sequence[Sample]]
"""Each system's samples at the finest resolution."""


def collect(store: Store, plan: Plan, span: Span, finest: Rows) -> tuple[RouteView, ...]:
    """Return each route of the plan with what its requests met.

    Args:
        store: The store.
        plan: The plan.
        span: What the report covers.
        finest: What its charts are made of.
    """
    if not plan.routes:
        return ()
    state, figures = routing.read(store, plan.migration), _figures(store, plan, span)
    found = []
    for number, row in enumerate(route_status.collect(plan, state, {})):
        subset = subset_of_route(row["route"])
        own = {system: [of_subset(each, subset) for each in rows if subset in each.subsets]
               for system, rows in finest.items()}
        series = {}
        if number < MOST_CHARTED:
            series = {system: measures.points(rows, start=span.start, end=span.chart_end)
                      for system, rows in own.items()}
        found.append(RouteView(
            row["route"], row["requests"], row["percent"], row["stands"],
            figures[subset], series))
    return tuple(found)


def _figures(store: Store, plan: Plan, span: Span) -> dict[str, tuple[Figures, ...]]:
    """Return both systems' figures by subset, as exact as those of all requests."""
    subsets = [subset_of_route(route.name) for route in plan.routes]
    read = {}
    for system in SYSTEMS:
        read[system] = windows_of(
            store, plan.migration, system, subsets, start=span.start, end=span.end)
    return {subset: tuple(
        Figures(system, name, span.start, span.end, read[system][subset])
        for system, name in system_names(plan).items()) for subset in subsets}
