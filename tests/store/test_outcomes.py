"""Outcomes on real databases: each counts once, sums are exact, gates read them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from changeover.analysis.window import Window
from changeover.domain.outcomes import Outcome
from changeover.plan.procedures import RetentionSpec
from changeover.store import outcomes, samples
from changeover.store.engine import Store

NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)


def one(key: str, system: str = "candidate", *, ok: bool = True, **fields: object) -> Outcome:
    return Outcome(key, system, ok, **fields)  # type: ignore[arg-type]


def window(
    store: Store, system: str = "candidate", *, segment: str | None = None,
    start: datetime = NOW - timedelta(minutes=10), end: datetime = NOW + timedelta(minutes=10),
) -> Window:
    return samples.window(store, "shop", system, start=start, end=end, segment=segment)


def test_outcomes_become_metrics_of_their_system(store: Store) -> None:
    """Error rate, durations and mean quality, over exactly what was reported."""
    outcomes.save(store, "shop", [
        one("a", seconds=0.2, quality={"confidence": 0.9}),
        one("b", seconds=0.4, quality={"confidence": 0.7, "pages": 3}),
        one("c", ok=False), one("d", "baseline", ok=False),
    ], now=NOW)
    found = window(store)
    assert found.measure("outcome_error_rate").value == pytest.approx(1 / 3)
    assert found.measure("outcome_error_rate").samples == 3
    assert found.measure("outcome_duration_p95").value == pytest.approx(0.4, rel=0.1)
    assert found.measure("outcome.confidence").value == pytest.approx(0.8)
    assert found.measure("outcome.pages").samples == 1
    assert found.measure("outcome.never").value is None
    assert window(store, "baseline").measure("outcome_error_rate").value == 1


def test_an_outcome_counts_once_however_often_it_is_reported(store: Store) -> None:
    """Alone, within a batch, and again with something else in it."""
    assert outcomes.save(store, "shop", [one("a"), one("a", ok=False)], now=NOW) == {"a"}
    assert outcomes.save(store, "shop", [one("a", ok=False), one("b")], now=NOW) == {"b"}
    found = window(store)
    assert (found.outcomes, found.failures) == (2, 0)


def test_segments_have_sums_of_their_own(store: Store) -> None:
    """A gate may look at the beta users only; all users are counted once all the same."""
    outcomes.save(store, "shop", [one("a", ok=False, segments=("beta",)), one("b")], now=NOW)
    assert window(store).outcomes == 2
    assert window(store, segment="beta").measure("outcome_error_rate").value == 1
    assert set(outcomes.by_segment(store, "shop", start=NOW, end=NOW)) == {
        ("candidate", ""), ("candidate", "beta")}


def test_windows_count_minutes_and_seconds_once(store: Store) -> None:
    """Whole minutes come from their sums, the edges from seconds."""
    for second in range(200):
        outcomes.save(store, "shop", [one(f"o{second}")], now=NOW + timedelta(seconds=second))
    for begin, length in ((0, 200), (5, 7), (29, 62), (30, 120), (31, 150)):
        start = NOW + timedelta(seconds=begin)
        found = window(store, start=start, end=start + timedelta(seconds=length))
        assert found.outcomes == length


def test_concurrent_reporters_lose_nothing(store: Store) -> None:
    """Sums of the same second grow by all of them, and shared ids count once."""
    def report(number: int) -> int:
        own = [one(f"{number}-{each}", seconds=0.1, quality={"q": 1}) for each in range(50)]
        return len(outcomes.save(store, "shop", [*own, one("shared")], now=NOW))

    with ThreadPoolExecutor(8) as pool:
        new = sum(pool.map(report, range(16)))
    found = window(store)
    assert new == found.outcomes == 16 * 50 + 1
    assert found.durations.total == found.quality["q"][0] == 16 * 50


def test_prune_keeps_sums_longer_than_single_outcomes(store: Store) -> None:
    """A gate over months needs sums only."""
    outcomes.save(store, "shop", [one("a")], now=NOW)
    later = NOW + timedelta(days=8)
    retention = RetentionSpec(
        outcomes=timedelta(days=7), seconds=timedelta(hours=6), minutes=timedelta(days=180))
    assert outcomes.prune(store, "shop", retention, now=NOW) == 0
    assert outcomes.prune(store, "shop", retention, now=later) == 2
    assert window(store).outcomes == 1
    assert outcomes.save(store, "shop", [one("a")], now=later) == {"a"}
