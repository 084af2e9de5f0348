"""Which status wins, and that no check's fault hides another's finding."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.checks.health.checks import examine
from changeover.checks.health.result import Health, by_level, worst
from changeover.domain.health import Status
from changeover.errors import Unreachable

statuses = st.sampled_from(Status)
FAULTS: list[type[BaseException]] = [ValueError, OSError, MemoryError, KeyError, RecursionError]


@given(st.lists(statuses, min_size=1))
def test_the_worst_status_wins_in_any_order(found: list[Status]) -> None:
    """No good check makes up for a bad one."""
    order = list(Status)
    assert worst(found) is worst(reversed(found)) is order[max(map(order.index, found))]


def test_nothing_looked_at_is_an_error() -> None:
    """No data is never healthy."""
    assert worst([]) is Status.ERROR


@pytest.mark.parametrize(("percent", "status"), [
    (0, Status.HEALTHY), (85, Status.HEALTHY), (85.1, Status.WARNING), (95, Status.WARNING),
    (95.1, Status.CRITICAL), (100, Status.CRITICAL),
])
def test_memory_warns_above_85_and_is_critical_above_95(percent: float, status: Status) -> None:
    """The levels of the plan's defaults."""
    assert by_level(percent, 85, 95) is status


def _check(kind: Any) -> Callable[[], Health]:
    def look() -> Health:
        if isinstance(kind, Status):
            return Health(kind, str(kind))
        raise kind("broken")

    return look


@given(st.dictionaries(st.text(min_size=1, max_size=5),
                       statuses | st.sampled_from([*FAULTS, Unreachable]), max_size=30))
def test_a_check_that_breaks_hides_no_other(kinds: dict[str, Any]) -> None:
    """Every finding is there, in order; whatever was raised is an error of that check only."""
    found = examine({name: _check(kind) for name, kind in kinds.items()})
    assert list(found) == list(kinds)
    for name, kind in kinds.items():
        assert found[name].status is (kind if isinstance(kind, Status) else Status.ERROR)


def test_a_check_that_hangs_hides_no_other() -> None:
    """It is an error after its time, and the others' findings are there."""
    let_go = threading.Event()

    def hang() -> Health:
        let_go.wait(30)
        return Health(Status.HEALTHY, "")

    checks = {"hangs": hang, **{str(n): _check(Status.HEALTHY) for n in range(20)}}
    found = examine(checks, within=0.5)
    let_go.set()
    assert found["hangs"] == Health(Status.ERROR, "no result within 0.5 s")
    assert [h.status for name, h in found.items() if name != "hangs"] == [Status.HEALTHY] * 20


def test_checks_that_hang_hide_no_other_however_many_there_are() -> None:
    """The gateway's drift is found though every system hangs."""
    released = threading.Event()

    def hangs() -> Health:
        released.wait(60)
        return Health(Status.HEALTHY, "late")

    drift = Health(Status.CRITICAL, "drift")
    checks = {**{f"system {number}": hangs for number in range(40)}, "gateway": lambda: drift}
    try:
        found = examine(checks, within=1.0)
    finally:
        released.set()
    assert found.pop("gateway") == drift
    assert {health.status for health in found.values()} == {Status.ERROR}
