"""What pages read over time: outcomes, the machine, and each flag's newest change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.audit import Author
from changeover.domain.health import HealthResult, Status
from changeover.domain.outcomes import Outcome
from changeover.flags.state import BASE, NewValues
from changeover.store import (
    flag_changes,
    flags,
    health_results,
    health_series,
    outcome_series,
    outcomes,
)
from changeover.store.engine import Store

NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(("length", "has_durations"), [
    (timedelta(minutes=10), True), (timedelta(hours=6), True), (timedelta(days=7), False)])
def test_no_outcome_of_a_range_is_lost_or_counted_twice(
    store: Store, length: timedelta, has_durations: bool
) -> None:
    """Of long ranges, durations and quality numbers are not read."""
    for ago in (400, 90, 5):
        outcomes.save(store, "shop", [
            Outcome(f"{ago}-{number}", "candidate", number > 0, 0.4, {"confidence": 0.9})
            for number in range(4)], now=NOW - timedelta(seconds=ago))
    found = outcome_series.series(
        store, "shop", "candidate", start=NOW - length, end=NOW, points=60)
    windows = list(found.values())
    assert (sum(each.outcomes for each in windows), sum(each.failures for each in windows)) == (
        12, 3)
    assert any(each.durations.total for each in windows) == has_durations
    assert outcome_series.series(
        store, "shop", "baseline", start=NOW - length, end=NOW, points=60) == {}


def test_the_machine_is_read_by_check_and_what_broke_is_left_out(store: Store) -> None:
    """A check that found no number is a hole, not a zero."""
    for ago, data in ((120, {"percent": 40.0}), (60, {}), (0, {"percent": 42.0})):
        health_results.save(store, [HealthResult(
            "shop", NOW - timedelta(seconds=ago), "memory", Status.HEALTHY, "", data)])
    found = health_series.percents(
        store, "shop", ("memory", "disk"), since=NOW - timedelta(seconds=100))
    assert found == {"memory": {int(NOW.timestamp()): 42.0}, "disk": {}}


def test_the_newest_change_of_a_flag_says_who_and_why(store: Store) -> None:
    """One for each flag and environment."""
    for minute, value in enumerate((True, False)):
        flags.set_values(
            store, "shop", NewValues({"warm": value, "limit": minute}),
            Author("ann", f"reason {minute}"), now=NOW + timedelta(minutes=minute))
    assert flag_changes.newest(store, "shop")[BASE, "warm"] == (
        NOW + timedelta(minutes=1), "ann", "reason 1")
    assert {each.name for each in flag_changes.states(store, "shop")} == {"warm", "limit"}
