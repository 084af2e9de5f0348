"""Checks: value, relation and bound; and no data is never a pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.check import CheckResult, judge
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Window
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS
from tests.support.statuses import status_of

END = datetime(2026, 1, 1, 12, tzinfo=UTC)
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def requests(total: int, failed: int = 0) -> Window:
    """Return a window of a hundred seconds with so many requests and failures."""
    return Window(seconds=100, requests=total, errors={"status_5xx": failed} if failed else {})


def answers(milliseconds: float, total: int = 1000) -> Window:
    """Return a window in which every request took the same time."""
    latency = Histogram.of([int(milliseconds * 1000)] * total)
    return Window(seconds=100, requests=total, latency=latency)


def judged(own: Window, baseline: Window | None = None, **bound: object) -> CheckResult:
    """Return the result of a check of the candidate's error rate, or of another metric."""
    check = CheckSpec.model_validate({"metric": "error_rate", **bound})
    return judge(check, own, baseline, start=END - timedelta(seconds=100), end=END)


@pytest.mark.parametrize(
    ("bound", "failed", "verdict"),
    [
        ({"below": "0.1%"}, 0, PASS),
        ({"below": "0.1%"}, 1, FAIL),
        ({"at_most": "0.1%"}, 1, PASS),
        ({"at_most": "0.1%"}, 2, FAIL),
        ({"above": "0.1%"}, 1, FAIL),
        ({"above": "0.1%"}, 2, PASS),
        ({"at_least": "0.2%"}, 2, PASS),
        ({"at_least": "0.2%"}, 1, FAIL),
        ({"between": ["0.1%", "0.3%"]}, 1, PASS),
        ({"between": ["0.1%", "0.3%"]}, 3, PASS),
        ({"between": ["0.1%", "0.3%"]}, 4, FAIL),
        ({"between": ["0.1%", "0.3%"]}, 0, FAIL),
    ],
)
def test_check_holds_exactly_up_to_its_bound(
    bound: dict[str, object], failed: int, verdict: Verdict
) -> None:
    """`below` excludes the bound, `at_most` includes it, `between` includes both ends."""
    assert judged(requests(1000, failed), **bound).verdict is verdict


@pytest.mark.parametrize(("bound", "verdict", "words"), [
    ({"below": "1%"}, PASS, "error_rate of candidate in segment beta 0.300 % is below 1.000 %"),
    ({"below": "0.1%"}, FAIL, "in segment beta 0.300 % is at or above 0.100 %"),
    ({"ratio_to_baseline": 2, "test": "threshold"}, UNKNOWN,
     "of the baseline in segment beta, of whose users all are on the candidate: 0 of at least"),
])
def test_segment_that_moved_as_a_whole_is_judged_by_fixed_bounds_alone(
    bound: dict[str, object], verdict: Verdict, words: str
) -> None:
    """They need no baseline; a ratio has nobody left to compare with, and says so."""
    found = judged(requests(1000, 3), requests(0), segment="beta", **bound)
    assert found.verdict is verdict
    assert words in found.reason


def test_check_reason_names_value_relation_bound_and_samples() -> None:
    """A person reads from the reason alone why a check failed."""
    reason = judged(requests(1000, 3), below="0.1%").reason
    assert reason == "error_rate of candidate 0.300 % is at or above 0.100 % in 1000 samples"


def test_check_reason_says_how_much_data_is_missing() -> None:
    """An inconclusive check says how many samples there were and how many it needs."""
    result = judged(requests(42), below="0.1%")
    assert result.verdict is UNKNOWN
    assert result.reason == "error_rate of candidate: 42 of at least 100 samples"


@given(st.sampled_from(sorted(METRICS)), st.sampled_from(["below", "at_least"]))
def test_check_without_any_data_is_inconclusive(metric: str, bound: str) -> None:
    """No metric passes, or fails, on an empty window."""
    value = {"share": "1%", "duration": "1s", "size": "1MB", "number": 1}[METRICS[metric].unit]
    empty = Window(seconds=100)
    assert judged(empty, metric=metric, **status_of(metric), **{bound: value}).verdict is UNKNOWN


@given(st.integers(0, 99), st.data())
def test_check_below_min_samples_is_inconclusive_whatever_the_value(
    total: int, data: st.DataObject
) -> None:
    """Too few requests say nothing, good or bad."""
    failed = data.draw(st.integers(0, total))
    assert judged(requests(total, failed), below="0.1%", min_samples=100).verdict is UNKNOWN


@given(st.integers(100, 10_000), st.data())
def test_check_agrees_with_the_arithmetic(total: int, data: st.DataObject) -> None:
    """A threshold check is the comparison of failures by requests with the bound."""
    failed = data.draw(st.integers(0, total))
    assert (judged(requests(total, failed), below="5%").verdict is PASS) == (failed / total < 0.05)


@pytest.mark.parametrize(
    ("own", "baseline", "verdict"),
    [
        (answers(100), answers(100), PASS),
        (answers(130), answers(100), FAIL),
        (answers(50), answers(100), PASS),
        (answers(50), answers(100, total=99), UNKNOWN),
        (answers(50, total=99), answers(100), UNKNOWN),
        (answers(50), None, UNKNOWN),
    ],
    ids=["equal", "slower", "faster", "few at the baseline", "few at the candidate", "alone"],
)
def test_ratio_needs_enough_data_on_both_sides(
    own: Window, baseline: Window | None, verdict: Verdict
) -> None:
    """A ratio is judged only when both systems have enough samples."""
    result = judged(own, baseline, metric="latency_p95", ratio_to_baseline=1.1)
    assert result.verdict is verdict


@pytest.mark.parametrize(("failed", "verdict"), [(0, PASS), (1, UNKNOWN)])
def test_ratio_to_zero_is_inconclusive_unless_both_are_zero(
    failed: int, verdict: Verdict
) -> None:
    """There is no ratio to a baseline without errors; two systems without errors are equal."""
    result = judged(requests(1000, failed), requests(1000), ratio_to_baseline=1.1)
    assert result.verdict is verdict


def test_ratio_reason_shows_both_values() -> None:
    """The reason of a ratio carries both systems' values, the ratio and its bound."""
    result = judged(requests(1000, 4), requests(500, 1), ratio_to_baseline=1.1)
    assert result.reason == (
        "error_rate of candidate 0.400 % against the baseline's 0.200 %: ratio 2 is above 1.1 "
        "in 1000 and 500 samples"
    )


def test_health_needs_no_more_probes_than_the_window_has_seconds() -> None:
    """A window of one second holds one probe; min_samples cannot ask for ten."""
    window = Window(seconds=1, probes=1, probes_up=0)
    assert judged(window, metric="up", below=1, min_samples=10).verdict is PASS


def test_evidence_can_be_stored_and_carries_the_window() -> None:
    """The evidence is plain JSON with everything needed to recompute the verdict."""
    evidence = judged(requests(1000, 3), requests(10), below="0.1%").as_evidence()
    assert json.loads(json.dumps(evidence)) == evidence
    assert (evidence["value"], evidence["samples"], evidence["window_end"]) == (
        0.003, 1000, END.isoformat()
    )


def test_check_on_comparisons_says_how_much_was_compared() -> None:
    """A score without what was dropped beside it says less than it seems to."""
    window = Window(seconds=60, compared=200, matched=199, similarity=199.5)
    result = judged(window, metric="divergence_rate", below="1%", min_samples=100)
    coverage = {"seen": 1000, "compared": 200, "dropped: gateway's limit of streams": 800}
    told = result.with_coverage(coverage)
    assert (told.verdict, told.value) == (PASS, 0.005)
    assert told.reason.endswith("so far 200 of 1000 copied requests were compared")
    assert told.as_evidence()["coverage"] == coverage
    assert "coverage" not in result.as_evidence()


@pytest.mark.parametrize(("failed", "verdict"), [(30, PASS), (31, FAIL), (0, PASS)])
def test_difference_to_the_baseline_holds_up_to_its_bound(failed: int, verdict: Verdict) -> None:
    """`difference_to_baseline: 1%` allows one percentage point more than the baseline's share."""
    result = judged(requests(1000, failed), requests(1000, 20), difference_to_baseline="1%")
    assert (result.verdict, result.bound) == (verdict, "at most 1.000 % above the baseline")
