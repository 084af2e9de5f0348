"""What shadow comparison found."""

from __future__ import annotations

from collections import Counter

from changeover.comparison.noise import Judgement, judge_places
from changeover.console.exposition.family import Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.comparisons import Place
from changeover.domain.routing import System
from changeover.shadow import findings
from changeover.store import comparisons, divergences

KEPT_SECONDS = 30
"""Thousands of rows: read for several scrapes at once."""

OUTCOMES = Family(
    "shadow_requests", "What became of tapped requests since the rules were last changed.",
    ("outcome",), Bound("outcome", 100))
COMPARED = Family(
    "comparisons", "Comparisons of both systems' answers.", ("result",),
    Bound("result: match, divergence", 2), Kind.COUNTER)
MATCH = Family(
    "match_ratio", "Share of the answers compared in five minutes that match, 0 to 1.")
SIMILARITY = Family(
    "similarity_ratio", "Mean similarity of the answers compared in five minutes, 0 to 1.")
DIVERGENCES = Family(
    "divergences", "Divergences at all places together since the rules were last changed.")
PLACES = Family("divergent_places", "Places of the answers that differ.")
JUDGED = Family(
    "judged_places", "Places of the answers, by what is said of them.", ("judgement",),
    Bound("judgement", len(Judgement)))
FAMILIES = (OUTCOMES, COMPARED, MATCH, SIMILARITY, DIVERGENCES, PLACES, JUDGED)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add what was compared and how it differs."""
    store, migration = scene.store, scene.migration

    def covered() -> dict[str, int]:
        return comparisons.coverage(store, migration)

    coverage = scene.kept("coverage", 5, covered)
    for outcome, number in sorted(coverage.items()):
        scrape.add(OUTCOMES, number, outcome)
    for result in ("match", "divergence"):
        scrape.add(COMPARED, scene.counters.compared[result], result)
    window = scene.recent(System.CANDIDATE)
    scrape.add(MATCH, window.measure("match_rate").value)
    scrape.add(SIMILARITY, window.measure("similarity").value)

    def differing() -> tuple[int, int, dict[str, int]]:
        return _differing(divergences.places(store, migration), coverage)

    total, places, judged = scene.kept("places", KEPT_SECONDS, differing)
    scrape.add(DIVERGENCES, total)
    scrape.add(PLACES, places)
    for name in map(str, Judgement):
        scrape.add(JUDGED, judged.get(name, 0), name)


def _differing(
    found: list[Place], coverage: dict[str, int]
) -> tuple[int, int, dict[str, int]]:
    """Return divergences, places that differ, and places by judgement."""
    numbers = [place.diverged for place in found]
    verdicts = judge_places([findings.counts_of(place, coverage) for place in found])
    judged = Counter(str(each.judgement) for each in verdicts)
    return sum(numbers), sum(number > 0 for number in numbers), judged
