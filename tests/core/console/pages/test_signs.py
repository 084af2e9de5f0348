"""Signs of life and health checks, as the page of system health shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.console.pages import signs
from changeover.domain.health import HealthResult, Heartbeat, Repair, RepairStatus, Status

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 50), max_size=4)


def result(check: str, status: Status, age: float = 30) -> HealthResult:
    """Return a result of a health check that ran `age` seconds ago."""
    return HealthResult("m", NOW - timedelta(seconds=age), check, status, f"{check} says so")


@pytest.mark.parametrize(("service", "age", "says"), [
    ("observer", 3, "alive"), ("observer", 25, "silent"), ("shadow", 25, "alive"),
    ("shadow", 95, "silent"), ("console", -2, "alive")])
def test_a_service_is_alive_while_its_last_sign_is_fresh(
    service: str, age: float, says: str
) -> None:
    """What runs last on a busy machine gets more time; a clock set back makes nobody silent."""
    beat = Heartbeat(service, NOW - timedelta(seconds=age), pid=1)
    [found] = signs.services([beat], [], NOW)
    assert (found.name, found.says) == (service, says)
    assert found.tone == {"alive": "pass", "silent": "fail"}[says]


def test_prefect_and_the_gateway_stand_beside_the_services_as_a_check_found_them() -> None:
    """They give no sign of life of their own; other results are not services."""
    results = [result("prefect", Status.CRITICAL), result("disk", Status.HEALTHY)]
    [found] = signs.services([], results, NOW)
    assert (found.name, found.says, found.tone, found.seen) == (
        "prefect", "critical", "fail", "30 s ago")


def test_the_worst_result_counts_and_an_old_one_has_no_colour() -> None:
    """What broke ranks before what is critical: nobody knows what it would have found."""
    results = [result("a", Status.HEALTHY), result("b", Status.CRITICAL)]
    found = signs.checkup(results, NOW)
    assert (found.says, found.tone, found.is_old) == ("critical", "fail", False)
    assert found.text == "1 of 2 checks are healthy"
    old = signs.checkup([result("a", Status.HEALTHY, age=3600)], NOW)
    assert (old.says, old.tone, old.is_old, old.seen) == ("healthy", "", True, "60 min ago")
    assert signs.checkup([], NOW).says == "never"


def test_results_that_need_somebody_come_first() -> None:
    results = [result("b", Status.HEALTHY), result("a", Status.HEALTHY),
               result("c", Status.WARNING), result("d", Status.ERROR)]
    assert [each.name for each in signs.worst_first(results, NOW)] == ["d", "c", "a", "b"]


def test_repairs_are_newest_first() -> None:
    """One that failed is not mistaken for one that helped."""
    known = []
    for number, status in enumerate(RepairStatus):
        known.append(Repair(
            number, "m", "disk_full", "machine", 1, status, "", NOW, None, None))
    found = signs.repairs(known)
    assert [each.id for each, _ in found] == [2, 1, 0]
    assert [tone for _, tone in found] == ["fail", "pass", "inconclusive"]


@given(COUNTS, COUNTS)
def test_every_kind_is_counted_once_most_frequent_first(
    one: dict[str, int], other: dict[str, int]
) -> None:
    """The number of each system stands in its own column, with its share."""
    rows = signs.counted({"a": one, "b": other}, {"a": 1000, "b": 0})
    assert {kind for kind, _ in rows} == one.keys() | other.keys()
    sums = [one.get(kind, 0) + other.get(kind, 0) for kind, _ in rows]
    assert sums == sorted(sums, reverse=True)
    for kind, (first, second) in rows:
        number = one.get(kind, 0)
        assert first == f"{number} ({number / 10:.2f} %)"
        assert second == "no data"
