"""The evidence of checks over time: what is kept of each, and when it would have decided."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.plan.conditions import CheckSpec
from reports import check_charts, check_series
from reports.canvas import Scene
from reports.check_series import CheckPoint
from tests.core.reports.hand_made import AT, NAMES, after, check, evaluation

VERDICTS = st.lists(st.sampled_from(["pass", "fail", "inconclusive"]), min_size=1, max_size=30)
SPEC = CheckSpec.model_validate({"metric": "error_rate", "below": "0.5%"})


def points(verdicts: list[str], stage: str = "beta-5", **changes: Any) -> list[CheckPoint]:
    """Return a point every ten seconds."""
    values: dict[str, Any] = {
        "value": 0.001, "baseline": None, "low": None, "high": None, "harm": None,
        "harm_bar": None, "health": None, "health_bar": None, "basis": "samples", **changes}
    return [CheckPoint(after(10 * number), stage, verdict, **values)
            for number, verdict in enumerate(verdicts, 1)]


def one(found: list[CheckPoint], spec: CheckSpec | None = SPEC) -> check_series.CheckSeries:
    """Return the series of one check."""
    key = ("slo", "error_rate", "candidate", "below 0.500 %")
    (series,) = check_series.series({key: found}, {key: spec} if spec else {})
    return series


@given(VERDICTS)
def test_first_pass_and_first_failure_are_when_it_would_have_decided(verdicts: list[str]) -> None:
    """Inconclusive is no decision, and what it said last is what stands."""
    (found,) = check_series.decided([one(points(verdicts))], {"beta-5": AT})
    for said, after_seconds in (("pass", found.passed_after), ("fail", found.failed_after)):
        expected = 10.0 * (verdicts.index(said) + 1) if said in verdicts else None
        assert after_seconds == expected
    assert (found.verdict, found.moments) == (verdicts[-1], len(verdicts))


def test_stored_verdicts_keep_their_interval_and_evidence() -> None:
    """An interval of the value is drawn around it; one of a ratio is another number."""
    weighed = {"log_worse": -0.5, "log_bar": 4.6, "log_pass": 3.0, "stage": {"log_better": 1.9}}
    interval = {"of": "value", "low": 0.0005, "high": 0.002}
    found = check_series.of_verdicts([evaluation(evidence=[
        check(interval=interval), check(metric="latency_p95", sequential=weighed,
                                        interval={"of": "ratio", "low": 0.9, "high": 1.1})])])
    (share,), (latency,) = found.values()
    assert (share.low, share.high, share.harm) == (0.0005, 0.002, None)
    assert (latency.low, latency.harm, latency.harm_bar) == (None, -0.5, 4.6)
    assert (latency.health, latency.health_bar) == (1.9, 3.0)


@pytest.mark.parametrize(("bound", "point", "shown"), [
    ({"below": "0.5%"}, {"value": 0.004}, 0.004),
    ({"ratio_to_baseline": 1.5}, {"value": 0.006, "baseline": 0.004}, 1.5),
    ({"ratio_to_baseline": 1.5}, {"value": 0.006, "baseline": 0.0}, None),
    ({"difference_to_baseline": "1%"}, {"value": 0.006, "baseline": 0.004}, 0.002),
    ({"difference_to_baseline": "1%"}, {"value": 0.006}, None),
    ({"ratio_to_baseline": 1.5}, {"value": 0.006, "harm": 2.3, "harm_bar": 4.6}, 0.5),
])
def test_what_stands_against_a_bound(
    bound: dict[str, Any], point: dict[str, Any], shown: float | None
) -> None:
    """The value, how it stands to the baseline's, or evidence: never one for another."""
    spec = CheckSpec.model_validate({"metric": "error_rate", "test": "threshold", **bound})
    series = one(points(["pass"], **point), spec)
    found = check_series.against_bound(series.measure, series.points[0])
    assert found == (None if shown is None else pytest.approx(shown))


def test_chart_has_the_bound_and_says_it_in_words() -> None:
    """What nobody can see is said: the values and the bound, with their unit."""
    series = one(points(["inconclusive", "pass"]) + points(["pass"], "gradual-50"))
    (chart,) = check_charts.draw(Scene(AT, after(60), (), NAMES), [series])
    assert "value: 0.1 %" in chart.summary
    assert "bound: 0.5 %" in chart.summary
    assert not re.search(r"\bnan\b", chart.svg)


def test_check_without_numbers_or_bound_has_no_chart() -> None:
    """A guardrail has no number as its bound, and no data is no line."""
    scene = Scene(AT, after(60), (), NAMES)
    assert check_charts.draw(scene, [one(points(["pass"]), None)]) == []
    assert check_charts.draw(scene, [one(points(["inconclusive"], value=None))]) == []
