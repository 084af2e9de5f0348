"""What each route of the plan met: where its users are, requests, errors, durations."""

from __future__ import annotations

from changeover.console.exposition.counters import OfRoute, buckets_of
from changeover.console.exposition.family import Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.routing import BUCKETS, System
from changeover.site import route_status

# A plan has 200 routes at most. A histogram has 16 series for each label, so fewer of these.
CANDIDATE = Family(
    "route_candidate_ratio", "Share of users whose requests of a route go to the candidate.",
    ("route",), Bound("route of the plan", 200))
REQUESTS = Family(
    "route_requests", "Requests of a route meant for a system.", ("route", "system"),
    Bound("route of the plan and system", 400), Kind.COUNTER)
ERRORS = Family(
    "route_request_errors", "Requests of a route that a system failed.", ("route", "system"),
    Bound("route of the plan and system", 400), Kind.COUNTER)
USER_ERRORS = Family(
    "route_user_errors", "Requests of a route whose user saw 5xx or no answer.",
    ("route", "system"), Bound("route of the plan and system, of the first 50 routes", 100),
    Kind.COUNTER)
DURATION = Family(
    "route_request_duration_seconds",
    "Durations of a route's requests as users felt them; the sum is within 5 %.",
    ("route", "system"), Bound("route of the plan and system, of the first 50 routes", 100),
    Kind.HISTOGRAM)
FAMILIES = (CANDIDATE, REQUESTS, ERRORS, USER_ERRORS, DURATION)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add each route of the plan, in its order."""
    for row in route_status.collect(scene.site.plan, scene.state, {}):
        name = row["route"]
        scrape.add(CANDIDATE, row["percent"] * 100 / BUCKETS, name)
        for system in map(str, System):
            # 0 from the beginning: an alert sees the first one come
            counted = scene.counters.routes.get((name, system), OfRoute())
            scrape.add(REQUESTS, counted.requests, name, system)
            scrape.add(ERRORS, counted.errors, name, system)
            scrape.add(USER_ERRORS, counted.user_errors, name, system)
            scrape.add_buckets(DURATION, buckets_of(counted.latency), name, system)
