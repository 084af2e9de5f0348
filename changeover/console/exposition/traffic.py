"""What both systems got and did: requests, errors, durations, processes."""

from __future__ import annotations

from datetime import timedelta

from changeover.console.exposition.counters import buckets_of
from changeover.console.exposition.family import SYSTEM, Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.routing import System
from changeover.store import samples

NOW = timedelta(seconds=10)
"""Health and processes are looked at each second: so long is "now"."""

REQUESTS = Family(
    "requests", "Requests meant for a system.", ("system",), SYSTEM, Kind.COUNTER)
ERRORS = Family(
    "request_errors", "Requests that a system failed.", ("system", "kind"),
    Bound("system and class of failure", 40), Kind.COUNTER)
_OTHERS = {
    "user_errors": Family(
        "user_errors", "Requests meant for a system whose user saw 5xx or no answer.",
        ("system",), SYSTEM, Kind.COUNTER),
    "client_errors": Family(
        "client_errors", "Requests meant for a system that were answered 4xx.",
        ("system",), SYSTEM, Kind.COUNTER),
    "redirects": Family(
        "redirects", "Requests that were answered 3xx, without 304.",
        ("system",), SYSTEM, Kind.COUNTER),
    "keyless": Family(
        "keyless_requests", "Requests meant for a system that had no user's key.",
        ("system",), SYSTEM, Kind.COUNTER),
    "answers": Family(
        "answers", "Successful answers to GET.", ("system",), SYSTEM, Kind.COUNTER),
    "empty_answers": Family(
        "empty_answers", "Successful answers to GET without a body.",
        ("system",), SYSTEM, Kind.COUNTER),
    "answer_bytes": Family(
        "answer_bytes", "Bytes of the bodies of successful answers to GET.",
        ("system",), SYSTEM, Kind.COUNTER),
}
REFUSED = Family(
    "gateway_refused", "Requests that the gateway refused itself, by Envoy's word for the reason.",
    ("reason",), Bound("reason of Envoy", 100), Kind.COUNTER)
DURATION = Family(
    "request_duration_seconds", "Durations as users felt them; the sum is within 5 %.",
    ("system",), SYSTEM, Kind.HISTOGRAM)
UP = Family(
    "system_up_ratio", "Share of a system's health probes of the last 10 s that were answered.",
    ("system",), SYSTEM)
MEMORY = Family(
    "system_memory_bytes", "Resident memory of a system's watched processes.", ("system",), SYSTEM)
CPU = Family(
    "system_cpu_cores", "Cores that a system's watched processes use.", ("system",), SYSTEM)
FAMILIES = (REQUESTS, ERRORS, *_OTHERS.values(), REFUSED, DURATION, UP, MEMORY, CPU)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add both systems' traffic and processes, and what the gateway refused."""
    counted = scene.counters
    for name in map(str, System):
        scrape.add(REQUESTS, counted.requests[name], name)
        scrape.add_buckets(DURATION, buckets_of(counted.latency[name]), name)
        for field, family in _OTHERS.items():
            scrape.add(family, counted.others[name, field], name)
        window = samples.window(
            scene.store, scene.migration, name, start=scene.now - NOW, end=scene.now)
        scrape.add(UP, window.measure("up").value, name)
        scrape.add(MEMORY, window.memory_bytes, name)
        scrape.add(CPU, window.cpu_cores, name)
    # in the order in which they came: what is there already stays when there are too many
    for (system, kind), number in counted.errors.items():
        scrape.add(ERRORS, number, system, kind)
    for reason, number in counted.refused.items():
        scrape.add(REFUSED, number, reason)
