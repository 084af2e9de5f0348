"""Metrics that can be compared with the baseline although it has another share of the users."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from changeover.analysis.backtest.may_hold import may_hold, reading_of
from changeover.analysis.check import describe_bound, judge
from changeover.analysis.nearness import nearness
from changeover.analysis.trigger import judge_windows
from changeover.analysis.window import Sample, Window, combine
from changeover.domain.routing import System
from changeover.domain.verdict import Verdict
from changeover.gateway.accesslog import Entry, share_of
from changeover.observer.accumulate import Accumulator
from changeover.plan.conditions import CheckSpec
from changeover.plan.triggers import TriggerSpec

AT = datetime(2026, 1, 1, tzinfo=UTC)
FEWER = {"name": "fewer", "metric": "throughput", "ratio_to_baseline": 0.95,
         "direction": "decrease", "for": "0s", "min_samples": 1, "action": "alert"}


def line(route: str, chosen: System | None, status: int = 200) -> Entry:
    """Return a request that ended well unless its status says otherwise."""
    return Entry(1000.5, 10, status, frozenset(), route, "user", chosen, 1, chosen)


def window(lines: list[Entry], system: System) -> Window:
    """Return what the observer counts of lines, of one system, over one second."""
    accumulator = Accumulator(first=1000)
    for each in lines:
        accumulator.add(each)
    samples = [each for each in accumulator.pop_changed(1001) if each.system == system]
    return combine(samples, seconds=1)


@pytest.mark.parametrize(("route", "system", "share"), [
    ("split:1000:unsafe", System.CANDIDATE, 0.1), ("split:1000:safe", System.BASELINE, 0.9),
    ("split:10000:safe", System.BASELINE, None), ("baseline:0:safe", System.BASELINE, None),
    ("candidate:10000:safe", System.CANDIDATE, None), ("maintenance", System.BASELINE, None)])
def test_a_request_counts_by_the_share_only_where_the_split_decided(
    route: str, system: System, share: float | None
) -> None:
    """Users of segments, and those without a key, are in no split."""
    assert share_of(line(route, system), system) == share


def test_throughput_is_the_same_for_both_systems_whatever_their_share() -> None:
    """10 % of the users with a tenth of the requests are as many as the other nine tenths."""
    lines = [line("split:1000:safe", System.CANDIDATE)] * 3 + [
        line("split:1000:safe", System.BASELINE)] * 27
    ours, theirs = window(lines, System.CANDIDATE), window(lines, System.BASELINE)
    assert ours.measure("throughput").value == pytest.approx(30)
    assert theirs.measure("throughput").value == pytest.approx(30)
    assert ours.measure("throughput").samples == 3


@pytest.mark.parametrize("status", [429, 500])
def test_throughput_counts_only_what_ended_well(status: int) -> None:
    """What is turned away or failed is no success, and still a sample."""
    lines = [line("split:5000:safe", System.CANDIDATE),
             line("split:5000:safe", System.CANDIDATE, status)]
    measured = window(lines, System.CANDIDATE).measure("throughput")
    assert (measured.value, measured.samples) == (2.0, 2)


def test_throughput_is_unknown_without_a_split() -> None:
    """In shadow and full nothing is known, and nothing fires."""
    found = window([line("baseline:0:safe", System.BASELINE)], System.BASELINE)
    assert found.measure("throughput").value is None


def test_cpu_per_request_counts_copies_too() -> None:
    """Two cores over two seconds for six requests and two copies are half a second for each."""
    rows = [Sample("candidate", at, requests=3, memory_bytes=1, cpu_cores=2.0, watched=1)
            for at in (1, 2)]
    rows.append(Sample("shadow", 1, compared=2))
    measured = combine(rows, seconds=2).measure("cpu_per_request")
    assert (measured.value, measured.samples) == (0.5, 8)


def test_cpu_per_request_is_unknown_without_requests() -> None:
    """An idle process has no cost per request."""
    rows = [Sample("candidate", 1, memory_bytes=1, cpu_cores=0.1)]
    assert combine(rows, seconds=1).measure("cpu_per_request").value is None


def of(successes: float) -> Window:
    """Return a window with so much throughput."""
    return Window(seconds=1, watched=1, split_requests=50, split_successes=successes)


@pytest.mark.parametrize(("ours", "fires"), [(94.0, True), (96.0, False), (200.0, False)])
def test_a_trigger_with_decrease_fires_below_the_ratio(ours: float, fires: bool) -> None:
    """Less than 95 % of the baseline's is bad, more never is."""
    spec = TriggerSpec.model_validate(FEWER)
    judged = judge_windows(spec, of(ours), of(100.0))
    assert judged.is_true is fires
    assert ("is below 0.95" if fires else "is at least 0.95") in judged.reason
    assert describe_bound(spec) == "at least 0.95 × baseline"


def test_a_trigger_with_decrease_is_over_a_tenth_of_the_way_back() -> None:
    """At 95 % it fires; at 95.5 % it is over."""
    spec = TriggerSpec.model_validate(FEWER)
    assert not spec.is_back(0.952)
    assert spec.is_back(0.956)
    falling = TriggerSpec.model_validate(
        FEWER | {"ratio_to_baseline": None, "difference_to_baseline": 10})
    assert not falling.is_back(-9.5)
    assert falling.is_back(-8.9)


def test_nearness_of_a_falling_ratio_begins_where_both_are_the_same() -> None:
    """Half of what may be missing is missing."""
    spec = TriggerSpec.model_validate(FEWER)
    assert nearness(spec, 97.5, {"baseline_value": 100.0}) == pytest.approx(0.5)


@pytest.mark.parametrize(("bound", "ours", "verdict"), [
    ({"ratio_to_baseline": 0.9}, 95.0, Verdict.PASS),
    ({"ratio_to_baseline": 0.9}, 89.0, Verdict.FAIL),
    ({"difference_to_baseline": 5}, 96.0, Verdict.PASS),
    ({"difference_to_baseline": 5}, 94.0, Verdict.FAIL)])
def test_a_check_by_values_may_say_that_less_is_worse(
    bound: dict[str, float], ours: float, verdict: Verdict
) -> None:
    """The same words in gates as in triggers."""
    check = CheckSpec.model_validate(
        {"metric": "throughput", "direction": "decrease", "min_samples": 1, **bound})
    assert judge(check, of(ours), of(100.0), start=AT, end=AT).verdict is verdict


@pytest.mark.parametrize("wrong", [
    {"metric": "error_rate", "ratio_to_baseline": 2, "for": "0s"},
    {"metric": "throughput", "above": 3, "for": "0s"},
    {"metric": "throughput", "ratio_to_baseline": 0.9, "for": "0s", "clear_at": 0.95}])
def test_direction_is_refused_where_it_means_nothing(wrong: dict[str, object]) -> None:
    """By evidence, and without the baseline, there is no direction to choose."""
    with pytest.raises(ValidationError, match=r"direction"):
        TriggerSpec.model_validate(
            {"name": "x", "action": "alert", "direction": "decrease", **wrong})


def test_a_backtest_leaves_the_decision_to_the_trigger() -> None:
    """No two sums of rows tell: nowhere may the condition be excluded beforehand."""
    import numpy as np

    spec = TriggerSpec.model_validate(FEWER)
    assert reading_of(spec) is not None
    numbers = np.array([0.0, 5.0]), np.array([0.0, 5.0])
    assert may_hold(spec, numbers, numbers, seconds=1).all()
