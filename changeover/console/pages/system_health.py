"""System health: both systems and everything around them, now and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from changeover.analysis.error_words import ERROR_WORDS
from changeover.analysis.window import GATEWAY
from changeover.console.pages import figures, signs, traffic
from changeover.console.pages.charts import Chart
from changeover.console.pages.traffic import Panel, Values
from changeover.console.pages.view import Look, View
from changeover.domain.capacity import Room
from changeover.domain.routing import System
from changeover.site import capacity
from changeover.store import health_results, health_series, heartbeats, repairs, routing

PANELS = (traffic.REQUESTS, traffic.ERRORS, traffic.P50, traffic.P95, traffic.P99,
          traffic.MEMORY, traffic.CORES, traffic.UP)
REFUSED = Panel("refused", "Refused by the gateway", "%", traffic.metric("refused_rate", 100))
MACHINE = Panel("machine", "The machine: memory and disk used", "%", least_top=100)
OF_MACHINE = {"memory": "ink", "disk": "warn"}
"""Checks whose result is a percentage of what the machine has, with the colour of each."""
MOST_REPAIRS = 12
CAPACITY_SECONDS = 30.0
"""Whether everyone could go back changes by the minute; to find it out takes a day of them."""


def collect(look: Look) -> dict[str, Any]:
    """Return what the sections show."""
    site, now = look.site, look.now
    results = health_results.latest(site.store, site.migration)
    beats = heartbeats.of(site.store, site.migration)
    state = routing.read(site.store, site.migration)
    alive = signs.services(beats, results, now)
    return {
        "checkup": signs.checkup(results, now), "range": look.range,
        "gateway": site.gateway.serving(state).text,
        "room": _room(look),
        "figures": figures.of_traffic(look),
        "errors": _errors(look), "refused": _refused(look),
        "services": alive,
        "alive": sum(each.tone == "pass" for each in alive),
        "checks": signs.worst_first(results, now),
        "repairs": signs.repairs(
            repairs.newest(site.store, site.migration, most=MOST_REPAIRS)),
    }


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts that have data."""
    refused = {}
    for at, window in traffic.windows(look, GATEWAY).items():
        refused[at] = REFUSED.value(window)
    lines = [Values("of all requests", "ink", refused)]
    more = [traffic.over_time(REFUSED, lines), _machine(look)]
    return [*traffic.charts(look, PANELS), *traffic.framed(look, more)]


VIEW = View(
    "system-health", "System health",
    ("now", "systems", "errors", "services", "checks", "repairs"), collect, charts)


def _room(look: Look) -> Room:
    def read() -> Room:
        return capacity.room(look.site.store, look.site.plan, now=look.now)

    return look.kept.get("room", CAPACITY_SECONDS, look.now.timestamp(), read)


def _errors(look: Look) -> list[tuple[str, list[str]]]:
    """Return the errors of the range by class, in words."""
    counts: dict[str, Mapping[str, int]] = {}
    totals: dict[str, int] = {}
    for system in System:
        whole = traffic.total(look, system)
        counts[system], totals[system] = whole.errors, whole.requests
    found = []
    for kind, cells in signs.counted(counts, totals):
        found.append((ERROR_WORDS.get(kind, kind), cells))
    return found


def _refused(look: Look) -> list[tuple[str, list[str]]]:
    """Return what the gateway refused itself in the range, by Envoy's word for the reason."""
    whole = traffic.total(look, GATEWAY)
    return signs.counted({GATEWAY: whole.refused}, {GATEWAY: whole.arrived})


def _machine(look: Look) -> Chart | None:
    """Return how full the machine was at each health check."""
    start = traffic.begin(look)

    def read() -> dict[str, dict[int, float]]:
        return health_series.percents(
            look.site.store, look.migration, tuple(OF_MACHINE), since=start)

    # health checks come by the minute: a look every second need not read them again
    good = max(traffic.good_for(look), 10.0)
    key = "machine", look.range.name
    known = look.kept.get(key, good, look.now.timestamp(), read)
    lines = [Values(name, colour, known[name]) for name, colour in OF_MACHINE.items()]
    return traffic.over_time(MACHINE, lines)


