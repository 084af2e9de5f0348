"""Charts of each route: what its requests met at both systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from changeover.console.pages import traffic
from changeover.console.pages.charts import Chart
from changeover.console.pages.traffic import Values
from changeover.console.pages.view import Look
from changeover.domain.routing import System
from changeover.plan.routes import RouteSpec
from changeover.plan.subsets import subset_of_route

MOST_ROUTES = 8
"""Routes with charts: a page with hundreds of them is read by nobody. Tables have all routes."""
PANELS = (traffic.REQUESTS, traffic.ERRORS, traffic.P95)


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts of the plan's first routes that have data."""
    found: list[Chart | None] = []
    for route in look.site.plan.routes[:MOST_ROUTES]:
        found += _of(look, route)
    return traffic.framed(look, found)


def _of(look: Look, route: RouteSpec) -> list[Chart | None]:
    read = {system: traffic.windows_of(look, system, subset_of_route(route.name))
            for system in System}
    found = []
    for panel in PANELS:
        own = replace(panel, name=f"{panel.name}-of-{route.name}",
                      title=f"{panel.title} of {route.name}")
        lines = [Values(str(system), str(system),
                        {at: panel.value(window) for at, window in windows.items()})
                 for system, windows in read.items()]
        found.append(traffic.over_time(own, lines))
    return found
