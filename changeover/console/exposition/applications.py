"""What applications ask of the console: claims, outcomes, flags."""

from __future__ import annotations

from changeover.console.exposition.family import SYSTEM, Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.claims import Status, Why
from changeover.domain.routing import System
from changeover.store import claims, flags

PERCENTILES = ("50", "95", "99")

CLAIMS = Family(
    "claims", "What became of requests to claim.", ("result",),
    Bound("result", len(Why) + 1), Kind.COUNTER)
OPEN = Family(
    "claims_open", "Items that are not done: held, expired (the lease is over), or free.",
    ("state",), Bound("state", len(Status)))
REPORTED = Family(
    "outcomes", "Outcomes that were reported here.", ("system", "result"),
    Bound("system and result", 4), Kind.COUNTER)
FAILED = Family(
    "outcome_failure_ratio", "Share of five minutes' outcomes without success, 0 to 1.",
    ("system",), SYSTEM)
DURATION = Family(
    "outcome_duration_seconds",
    "Duration that so many percent of five minutes' outcomes stay within.",
    ("system", "percentile"), Bound("system and percentile", 2 * len(PERCENTILES)))
QUALITY = Family(
    "outcome_quality", "Mean of a quality number over five minutes.", ("system", "name"),
    Bound("system and quality number, of which the console takes 100", 200))
CHANGED = Family("flags_changed", "Flags whose value is not the plan's (changed by hand).")
FLAGS = Family("flags", "Feature flags of the migration.")
FAMILIES = (CLAIMS, OPEN, REPORTED, FAILED, DURATION, QUALITY, FLAGS, CHANGED)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add claims, outcomes and flags."""
    store, counts = scene.store, scene.console.counts
    # 0 from the beginning: an alert sees the first one come
    for result in ("granted", *map(str, Why)):
        scrape.add(CLAIMS, counts.claims.get(result, 0), result)
    known = claims.open_claims(store, scene.migration, now=scene.now)
    for name, number in known.items():
        scrape.add(OPEN, number, name)
    for name in map(str, System):
        for result in ("success", "failure"):
            scrape.add(REPORTED, counts.outcomes.get((name, result), 0), name, result)
        _add_outcomes(scene, scrape, name)
    environment = scene.site.environment
    scrape.add(FLAGS, len(flags.read(store, scene.migration, environment)))
    scrape.add(CHANGED, len(flags.drift(store, scene.migration, environment)))


def _add_outcomes(scene: Scene, scrape: Scrape, system: str) -> None:
    found = scene.recent(system)
    scrape.add(FAILED, found.measure("outcome_error_rate").value, system)
    for percentile in PERCENTILES:
        value = found.measure(f"outcome_duration_p{percentile}").value
        scrape.add(DURATION, value, system, percentile)
    for label, (number, total) in sorted(found.quality.items()):
        scrape.add(QUALITY, total / number, system, label)
