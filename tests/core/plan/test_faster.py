"""A plan made faster: what is divided, what stays, and that it is still a plan."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.errors import InvalidInput
from changeover.plan.faster import LASTING, SOAK, TRIGGER_WINDOW, WINDOW, faster, leaves_out
from changeover.plan.load import load_plan, parse_plan
from changeover.plan.model import Plan
from changeover.plan.suites import SoakCheck
from tests.support.processes import ROOT

PLANS = sorted(path.name for path in (ROOT / "plans").glob("*.yaml"))
TEXT = """
migration: fast
systems:
  baseline: {name: old, url: "http://127.0.0.1:8301", timeout: 60s}
  candidate: {name: new, url: "http://127.0.0.1:8302"}
allowed: [{days: mon-thu, hours: "08-16", zone: Europe/Warsaw}]
gates: {slo: [{metric: error_rate, below: 0.1%, over: 48h, min_samples: 1000}]}
phases:
  - {phase: gradual, gates: [slo],
     stages: [{percent: 10, soak: 7d}, {percent: 50, soak: 2s, gates: []}]}
  - {phase: full, soak: 14d}
triggers:
  - {name: errors, metric: error_rate, above: 0.5%, for: 5m, over: 1m, min_samples: 60,
     action: rollback}
  - {name: down, metric: up, below: 1, for: 0s, action: rollback}
retention: {seconds: 6h}
"""


def plan(text: str = TEXT) -> Plan:
    return parse_plan(text, "plan.yaml")


def test_soaks_are_divided_and_what_is_short_stays() -> None:
    fast = faster(plan(), 5000)
    assert [stage.soak for stage in fast.stages()] == [
        timedelta(seconds=120.96), timedelta(seconds=2), timedelta(seconds=241.92)]
    assert [stage.soak for stage in faster(plan(), 1_000_000).stages()] == [
        SOAK, timedelta(seconds=2), SOAK]


def test_samples_shrink_with_their_window_and_never_below_five() -> None:
    gentle, wild = faster(plan(), 10), faster(plan(), 100_000)
    assert gentle.gates["slo"][0].over == timedelta(hours=4.8)
    assert gentle.gates["slo"][0].min_samples == 100
    assert (wild.gates["slo"][0].over, wild.gates["slo"][0].min_samples) == (WINDOW, 5)


def test_triggers_get_short_windows_also_where_the_plan_says_nothing() -> None:
    errors, down = faster(plan(), 100_000).triggers
    assert (errors.over, errors.for_, errors.min_samples) == (TRIGGER_WINDOW, LASTING, 5)
    assert (down.over, down.for_, down.min_samples) == (TRIGGER_WINDOW, timedelta(0), 5)
    assert down.clear_for == LASTING


def test_a_whole_soak_may_grow_as_much_as_ever() -> None:
    """Megabytes an hour of a calendar that runs faster: a real hour has more of its hours."""
    slow = plan(TEXT + "suites: {staging: [{kind: soak, duration: 10m, growth: 20MB}]}\n")
    (fast,) = faster(slow, 60_000).suites["staging"]
    assert isinstance(fast, SoakCheck)
    assert (fast.duration, fast.growth) == (SOAK, 20_000_000 * 600 // 8)


def test_what_belongs_to_one_request_and_what_is_kept_stays() -> None:
    fast = faster(plan(), 100_000)
    assert fast.systems == plan().systems
    assert fast.retention == plan().retention
    assert fast.gates["slo"][0].below == plan().gates["slo"][0].below


def test_windows_of_the_week_are_left_out_and_that_can_be_said() -> None:
    assert leaves_out(plan())
    assert not faster(plan(), 2).allowed


def test_a_speed_of_one_changes_nothing() -> None:
    assert faster(plan(), 1) == plan()


@pytest.mark.parametrize("factor", [0, 0.5, -3, 1e9, float("nan")])
def test_impossible_speeds_are_refused(factor: float) -> None:
    with pytest.raises(InvalidInput, match="is not possible"):
        faster(plan(), factor)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("factor", [2, 1000, 100_000, 10_000_000])
def test_every_shipped_plan_is_still_one_at_any_speed(name: str, factor: float) -> None:
    """Written and read again, as the demo does, it is the same plan."""
    fast = faster(load_plan(ROOT / "plans" / name), factor)
    text = json.dumps(fast.model_dump(mode="json", by_alias=True, exclude_unset=True,
                                      exclude={"environments", "environment"}))
    again = parse_plan(text, name)
    assert again.stages() == fast.stages()
    assert again.triggers == fast.triggers
    assert again.gates == fast.gates


@given(st.floats(1, 1e7), st.floats(1, 1e7))
def test_faster_is_never_slower(one: float, other: float) -> None:
    """A larger factor makes no duration longer and asks for no more samples."""
    slow, fast = faster(plan(), min(one, other)), faster(plan(), max(one, other))
    for left, right in zip(slow.stages(), fast.stages(), strict=True):
        assert right.soak <= left.soak
    assert fast.gates["slo"][0].min_samples <= slow.gates["slo"][0].min_samples
