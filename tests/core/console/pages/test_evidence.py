"""The course of checks: what is kept of them, their lines beside the bounds, and their strips."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.console.pages.evidence import Strip, charts_of, limits, places, strip
from changeover.console.pages.ranges import MOST_POINTS
from changeover.domain.courses import MOST_POINTS as MOST_KEPT
from changeover.domain.courses import Moment, point_of, spacing
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
RATIO = CheckSpec(metric="error_rate", ratio_to_baseline=1.1)
BELOW = CheckSpec(metric="latency_p95", below="250ms")
MATCHES = CheckSpec(metric="match_rate", at_least="99%")
WEIGHED: dict[str, Any] = {
    "verdict": "inconclusive", "value": 0.0021234567, "baseline_value": 0.002,
    "interval": {"of": "ratio", "value": 1.0, "low": 0.8, "high": 1.3},
    "sequential": {"log_worse": -1.5, "log_bar": 4.6, "log_pass": 3.0,
                   "stage": {"log_better": None}}}
PLAIN = {"verdict": "pass", "value": 0.2, "interval": {"of": "value", "low": 0.1, "high": 0.3}}


def moments(number: int, *checks: dict[str, Any], apart: int = 30) -> list[Moment]:
    """Return how gate slo stood at so many moments."""
    points = [point_of(each) for each in checks]
    return [Moment("beta-5", "slo", NOON + timedelta(seconds=apart * index),
                   Verdict.INCONCLUSIVE, points) for index in range(number)]


def lines(charts: list[Any], name: str) -> dict[str, list[float | None]]:
    """Return the values of a chart's lines."""
    (found,) = [each for each in charts if each.name == name]
    return {line.name: list(line.values) for line in found.lines}


def test_a_check_has_its_value_and_its_evidence_beside_what_decides() -> None:
    """A ratio is shown as multiples of the baseline; what is not known has no line."""
    (place,) = places({"slo": [RATIO]})
    charts = charts_of(place, moments(3, WEIGHED))
    assert lines(charts, "slo-0-value") == {
        "times the baseline": [1.0] * 3, "95 % from": [0.8] * 3, "95 % to": [1.3] * 3,
        "bound": [1.1] * 3}
    assert lines(charts, "slo-0-evidence") == {
        "harm": [-1.5] * 3, "fails at": [4.6] * 3, "passes at": [3.0] * 3}


def test_a_check_of_one_system_is_shown_in_its_metrics_unit() -> None:
    """Durations in ms, shares in percent; what must be high has an axis that shows it move."""
    first, second = places({"slo": [BELOW, MATCHES]})
    known = moments(2, PLAIN, {"verdict": "pass", "value": 0.995})
    assert lines(charts_of(first, known), "slo-0-value") == {
        "candidate": [200.0] * 2, "95 % from": [100.0] * 2, "95 % to": [300.0] * 2,
        "bound": [250.0] * 2}
    (chart,) = charts_of(second, known)
    assert (chart.unit, chart.floor) == ("%", None)
    assert lines([chart], "slo-1-value") == {"candidate": [99.5] * 2, "bound": [99.0] * 2}


def test_pauses_between_stages_are_holes_and_checks_that_are_new_have_none_before() -> None:
    """A plan that was amended has more checks than were judged."""
    first, second = places({"slo": [BELOW, MATCHES]})
    later = [Moment("gradual-10", "slo", each.at + timedelta(hours=1), each.verdict, each.checks)
             for each in moments(3, PLAIN)]
    (chart,) = charts_of(first, [*moments(3, PLAIN), *later])
    assert list(chart.lines[0].values) == [200.0] * 3 + [None] + [200.0] * 3
    assert charts_of(second, later) == []
    assert charts_of(first, []) == []


@given(st.integers(1, 5 * MOST_POINTS))
def test_a_chart_has_no_more_points_than_a_screen_and_ends_with_the_newest(number: int) -> None:
    (place,) = places({"slo": [BELOW]})
    known = moments(number, PLAIN)
    (chart,) = charts_of(place, known)
    assert len(chart.times) <= MOST_POINTS
    assert chart.times[-1] == known[-1].at.timestamp()


@given(st.integers(0, 10**7), st.integers(0, 10**8))
def test_of_a_soak_so_many_moments_are_kept_and_of_what_lasts_ever_fewer(
    soak: int, age: int
) -> None:
    """However long it is, and however long it is held."""
    apart = spacing(timedelta(seconds=soak), timedelta(seconds=age)).total_seconds()
    assert apart * MOST_KEPT >= max(soak, age) - 1
    assert apart * MOST_KEPT <= max(soak, age) + 1


@pytest.mark.parametrize(("check", "baseline", "found"), [
    (BELOW, None, (0.25,)), (RATIO, 0.002, (0.0022,)), (RATIO, None, ()),
    (CheckSpec(metric="error_rate", difference_to_baseline="1%"), 0.02, (0.03,)),
    (CheckSpec(metric="request_rate", between=[1, 5]), None, (1.0, 5.0)),
    (CheckSpec(metric="outcome.score", difference_to_baseline=2, direction="decrease",
               range=[0, 10]), 8.0, (6.0,))])
def test_the_bound_is_where_the_value_turns(
    check: CheckSpec, baseline: float | None, found: tuple[float, ...]
) -> None:
    assert limits(check, baseline) == pytest.approx(found)


def test_a_strip_shows_the_interval_beside_the_bound() -> None:
    """Of a ratio beside the ratio, of a value beside the value; of anything else nothing."""
    assert strip(RATIO, WEIGHED) == Strip(10.0, 42.0, 90.0, 58.0)
    assert strip(BELOW, {**PLAIN, "value": 0.2}) == Strip(10.0, 50.0, 90.0, 70.0)
    assert strip(BELOW, WEIGHED) is None
    assert strip(RATIO, PLAIN) is None
    assert strip(BELOW, {"value": 0.2}) is None


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 3))
def test_a_strip_never_leaves_its_line(numbers: tuple[float, float, float]) -> None:
    low, middle, high = sorted(numbers)
    found = strip(RATIO, {"interval": {"of": "ratio", "low": low, "value": middle, "high": high}})
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 100
    assert 0 <= found.bound <= 100


def test_what_is_kept_of_a_check_is_small_and_needs_no_interval() -> None:
    """Five digits; a check by its value alone has no evidence, one without data no value."""
    assert point_of(WEIGHED)["value"] == 0.0021235
    assert point_of({"verdict": "pass", "value": None}) == {
        "verdict": "pass", "value": None, "baseline": None}
    assert point_of(PLAIN)["middle"] is None
    # nobody can be compared at present: only the circumstances are known
    assert "worse" not in point_of({**PLAIN, "sequential": {"weight": 0}})
