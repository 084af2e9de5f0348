"""Judging as Kayenta does: its judge's own cases, and the places where ours differs on purpose.

`tests/cases/kayenta.json` has the cases as data: two series, a configuration in Kayenta's words,
and what is expected. Its `complaints` are what users reported as wrong: docs/mann-whitney.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.mann_whitney.classify import (
    Classification,
    Direction,
    Limits,
    MetricRule,
    classify,
    classify_by_mean,
)
from changeover.analysis.mann_whitney.effect import Effect, effect_size
from changeover.analysis.mann_whitney.minutes import Minutes, judge_by_minutes
from changeover.analysis.mann_whitney.score import JudgedMetric, judge_scores, score
from changeover.analysis.mann_whitney.shift import normal_quantile, shift_of, z_score
from changeover.analysis.mann_whitney.values import (
    NanStrategy,
    Outliers,
    Preparation,
    far_from_mean,
    far_from_quartiles,
    percentile,
    prepare,
    summary,
)
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

DOCUMENT = json.loads((Path(__file__).parents[2] / "cases" / "kayenta.json").read_text())
EFFECTS = {"meanRatio": Effect.MEAN_RATIO, "cles": Effect.CLES, "cohenD": Effect.COHEN_D}
CASES_STEP = 1e-4
"""Precision of the search behind the cases' intervals; theirs, for metrics of every size."""


def numbers(values: list[float | str]) -> list[float]:
    """Return a series; "NaN" stands for what is not a number."""
    return [float(each) for each in values]


def limits(config: dict[str, Any], kind: str) -> Limits:
    """Return a pair of limits from a case's words."""
    return Limits(config.get(f"{kind}Decrease"), config.get(f"{kind}Increase"))


def preparation(config: dict[str, Any]) -> Preparation:
    """Return how a case's series are prepared."""
    return Preparation(
        nan=NanStrategy(config.get("nanStrategy") or "remove"),
        outliers=Outliers(config.get("outlierStrategy", "keep")),
        factor=config.get("outlierFactor", 3.0),
        is_lenient=config.get("reduceSensitivity", True),
    )


def rule(config: dict[str, Any]) -> MetricRule:
    """Return a metric's rule from a case's words."""
    return MetricRule(
        direction=Direction(config["direction"]),
        tolerance=config["tolerance"],
        confidence=config["confidence"],
        preparation=preparation(config),
        effect=EFFECTS[config.get("effectSizeMeasure", "meanRatio")],
        allowed=limits(config, "allowed"),
        critical=limits(config, "critical"),
        is_critical=config.get("critical", False),
        must_have_data=config.get("mustHaveData", False),
    )


def near(value: float, tolerance: float = 1e-9) -> Any:
    """Return what compares as equal within a case's tolerance."""
    return pytest.approx(value, abs=tolerance, nan_ok=True)


def check_classification(case: dict[str, Any]) -> None:
    baseline, candidate = numbers(case["control"]), numbers(case["experiment"])
    expected = case["expected"]
    if case["config"]["classifier"] == "mean_inequality":
        assert classify_by_mean(baseline, candidate) == expected["classification"]
        return
    found = classify(baseline, candidate, rule(case["config"]))
    assert found.classification == expected["classification"], found
    assert found.is_critical == expected.get("critical", found.is_critical)
    if "deviation" in expected:
        assert found.effect == near(float(expected["deviation"]))


def check_outliers(case: dict[str, Any]) -> None:
    config, values = case["config"], numbers(case["experiment"])
    if config["detector"] == "ksigma":
        found = far_from_mean(values, config["k"])
    else:
        found = far_from_quartiles(
            values, config["outlierFactor"], is_lenient=config["reduceSensitivity"])
    assert found == case["expected"]["is_outlier"]


def check_preparation(case: dict[str, Any]) -> None:
    found = prepare(numbers(case["experiment"]), preparation(case["config"]))
    assert found == case["expected"]["values"]


def check_summary(case: dict[str, Any]) -> None:
    found, expected = summary(numbers(case["experiment"])), case["expected"]
    assert (found.least, found.most) == (expected["min"], expected["max"])
    assert (found.mean, found.count) == (expected["mean"], expected["count"])
    assert found.deviation == near(expected["std"], expected.get("std_tolerance", 0))


def check_percentiles(case: dict[str, Any]) -> None:
    for each in case["expected"]["percentiles"]:
        found = percentile(numbers(case["experiment"]), each["p"])
        assert found == near(each["value"], each.get("tolerance", 1e-12))


def check_effect(case: dict[str, Any]) -> None:
    found = effect_size(
        EFFECTS[case["config"]["measure"]],
        numbers(case["control"]), numbers(case["experiment"]))
    expected = case["expected"]
    assert found == near(float(expected["effect_size"]), expected.get("tolerance", 1e-12))


def check_score(case: dict[str, Any]) -> None:
    metrics = []
    for each in case["config"]["metrics"]:
        found = Classification(each["classification"])
        metrics.append(JudgedMetric(each["name"], found, each["groups"], each["critical"]))
    result = score(metrics, case["config"]["groupWeights"])
    assert result.total == case["expected"]["summary_score"]
    groups = sorted(each.score for each in result.groups)
    assert groups == case["expected"].get("group_scores_sorted", groups)


def check_z(case: dict[str, Any]) -> None:
    baseline = sorted(numbers(case["control"]))
    for point in case["expected"]["points"]:
        found = z_score(baseline, numbers(case["experiment"]), point["mu"])
        wanted = point["value"] + point["quantile"]
        assert found == near(wanted, case["expected"]["tolerance"])


def check_interval(case: dict[str, Any]) -> None:
    baseline, candidate = sorted(numbers(case["control"])), numbers(case["experiment"])
    expected, confidence = case["expected"], case["config"]["confidence"]
    tolerance = expected["tolerance"]
    found = shift_of(baseline, candidate, confidence, within=CASES_STEP)
    assert found.low == near(expected["ci_low"], tolerance)
    assert found.high == near(expected["ci_high"], tolerance)
    assert found.estimate == near(
        expected["estimate"], expected.get("estimate_tolerance", tolerance))
    if "mu_min" not in expected:
        return
    least, most = min(candidate) - baseline[-1], max(candidate) - baseline[0]
    assert (least, most) == (near(expected["mu_min"]), near(expected["mu_max"]))
    quantile = normal_quantile(confidence)
    for name, shift in (("min", least), ("max", most)):
        at = z_score(baseline, candidate, shift)
        assert at - quantile == near(expected[f"z_at_mu_{name}_lower"])
        assert at + quantile == near(expected[f"z_at_mu_{name}_upper"])


def check_aggregate(case: dict[str, Any]) -> None:
    config = case["config"]
    verdict, _ = judge_scores([config["final_score"]], config["pass"], config["marginal"])
    assert (verdict is Verdict.PASS) == case["expected"]["did_pass"]


STAGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "classify_metric": check_classification,
    "detect_outliers": check_outliers,
    "transform": check_preparation,
    "summary": check_summary,
    "percentile": check_percentiles,
    "effect_size": check_effect,
    "score": check_score,
    "wilcoxon_z": check_z,
    "mann_whitney_ci": check_interval,
    "aggregate": check_aggregate,
}


@pytest.mark.parametrize("case", DOCUMENT["cases"], ids=lambda case: case["name"])
def test_each_of_the_judges_cases_gives_its_expectation(case: dict[str, Any]) -> None:
    """Who moves here from Kayenta gets the classifications, scores and passes that they had."""
    STAGES[case["config"]["stage"]](case)


def test_no_case_is_left_out() -> None:
    """The file says how many it has."""
    assert len(DOCUMENT["cases"]) == DOCUMENT["count"] == 60


@pytest.mark.parametrize("case", DOCUMENT["complaints"], ids=lambda case: case["name"])
def test_what_users_complain_of_is_the_method_and_not_mended_here(case: dict[str, Any]) -> None:
    """A rank test cannot see these; the sequential test is the default because of them."""
    baseline, candidate = numbers(case["control"]), numbers(case["experiment"])
    found = classify(baseline, candidate, rule(case["config"]))
    assert found.classification == case["kayenta_says"], found


LOW_LEVEL = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
HIGH_LEVEL = [3.0, 3.1, 3.2, 3.3, 3.4, 3.5]
NOTHING = [0.0] * 6
SERIES = st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=12)


@given(SERIES, SERIES, st.integers(-30, 30))
def test_the_unit_of_a_metric_changes_no_classification(
    baseline: list[float], candidate: list[float], power: int
) -> None:
    """Seconds or milliseconds, shares or percent: a search of fixed precision would decide."""
    unit = 2.0**power
    before = classify(baseline, candidate, MetricRule())
    after = classify(
        [each * unit for each in baseline], [each * unit for each in candidate], MetricRule())
    assert after.classification is before.classification


def test_a_metric_of_very_small_values_is_not_lost() -> None:
    """A search that stops at 0.0001 excludes nothing of shares that are smaller than that."""
    baseline = [1e-5 * (1 + n % 7 / 10) for n in range(60)]
    candidate = [1.5 * each for each in baseline]
    coarse = shift_of(baseline, candidate, 0.98, within=CASES_STEP)
    assert coarse.low == min(candidate) - max(baseline) < 0
    assert classify(baseline, candidate, MetricRule()).classification is Classification.HIGH


@given(SERIES, SERIES)
def test_the_order_of_the_values_changes_nothing(
    baseline: list[float], candidate: list[float]
) -> None:
    """What is compared are two sets of values, not their course."""
    turned = classify(baseline[::-1], candidate[::-1], MetricRule())
    assert turned == classify(baseline, candidate, MetricRule())


@given(SERIES, SERIES)
def test_the_ends_of_an_interval_are_in_order(
    baseline: list[float], candidate: list[float]
) -> None:
    """With a coarse search the lower end can come out above the upper one."""
    fine = 1e-9 * (max(baseline + candidate) - min(baseline + candidate))
    found = shift_of(baseline, candidate, 0.98)
    assert found.low <= found.estimate + 2 * fine
    assert found.estimate <= found.high + 2 * fine


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_values_show_no_difference(count: int) -> None:
    """At 98 % even five values on each side, all apart, are needed: one is never enough."""
    found = classify(LOW_LEVEL[:count], HIGH_LEVEL[:count], MetricRule())
    assert found.classification is Classification.PASS


def test_five_values_apart_are_enough() -> None:
    """The fewest that can show a difference at 98 %."""
    found = classify(LOW_LEVEL[:5], HIGH_LEVEL[:5], MetricRule())
    assert found.classification is Classification.HIGH


def test_two_constant_series_are_told_apart_the_same_way_each_time() -> None:
    """No noise is added to break the ties: the shift between them is known exactly."""
    found = classify([1.0] * 6, [10.0] * 6, MetricRule())
    assert found.classification is Classification.HIGH
    assert found.shift is not None
    assert found.shift.estimate == 9.0


def test_from_nothing_to_something_is_critical() -> None:
    """A ratio to 0 is unknown; it must not make a critical failure harmless."""
    strict = MetricRule(critical=Limits(increase=5.0), is_critical=True)
    found = classify(NOTHING, HIGH_LEVEL, strict)
    assert math.isnan(found.effect)
    assert found.classification is Classification.HIGH
    assert found.is_critical


def test_a_failure_below_the_critical_limit_is_an_ordinary_one() -> None:
    """High at 2.6 times the mean, critical from five times on."""
    strict = MetricRule(critical=Limits(increase=5.0), is_critical=True)
    found = classify(LOW_LEVEL, HIGH_LEVEL, strict)
    assert found.classification is Classification.HIGH
    assert not found.is_critical


def test_a_metric_that_must_have_data_fails_without() -> None:
    """Its group fails; the whole does not, as for a critical metric."""
    found = classify(LOW_LEVEL, [math.nan] * 6, MetricRule(must_have_data=True))
    assert found.classification is Classification.NODATA_FAIL
    assert not found.is_critical


def test_a_critical_metric_without_data_fails_critically() -> None:
    """With or without `must_have_data`."""
    demanding = MetricRule(must_have_data=True, is_critical=True)
    found = classify([], LOW_LEVEL, demanding)
    assert found.classification is Classification.NODATA
    assert found.is_critical


def test_the_middle_values_of_a_sparse_series_are_no_outliers() -> None:
    """Most of its values are 0, so both quartiles are: any error would be removed as an outlier."""
    sparse = [0.0] * 16 + [0.5] * 4
    assert any(far_from_quartiles(sparse, 3.0, is_lenient=False))
    assert not any(far_from_quartiles(sparse, 3.0))


@pytest.mark.parametrize("kind", [Direction, NanStrategy, Outliers, Effect])
def test_a_strategy_that_does_not_exist_is_an_error(kind: type[Direction]) -> None:
    """Silently falling back on a default would change what a plan means."""
    with pytest.raises(ValueError, match="'upwards' is not a valid"):
        kind("upwards")


@pytest.mark.parametrize("wrong", [
    {"tolerance": -0.1}, {"tolerance": math.nan}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_a_rule_without_meaning_is_refused(wrong: dict[str, float]) -> None:
    """The message says the value and what is allowed."""
    with pytest.raises(ValueError, match="must be"):
        MetricRule(**wrong)  # type: ignore[arg-type]


def judged(name: str, found: Classification, **more: Any) -> JudgedMetric:
    """Return a metric that is alone in its group."""
    return JudgedMetric(name, found, [name], **more)


def test_a_muted_metric_counts_nowhere() -> None:
    """Not in a group, not as a critical one, not among those without data."""
    seen = judged("seen", Classification.PASS)
    for found in (Classification.HIGH, Classification.NODATA):
        muted = judged("muted", found, is_critical=True, is_muted=True)
        result = score([seen, muted], {})
        assert result.total == 100
        assert [each.name for each in result.groups] == ["seen"]


def test_a_group_without_data_is_named() -> None:
    """It counts as passed, as in Kayenta, but nobody has to find that out by themselves."""
    metrics = [judged("a", Classification.PASS), judged("b", Classification.PASS),
               judged("c", Classification.NODATA)]
    result = score(metrics, {})
    assert result.total == 100
    assert result.unmeasured == ("c",)
    assert "counted as passed without data: c" in result.reason


@pytest.mark.parametrize("metrics", [
    [], [judged("a", Classification.PASS), judged("b", Classification.NODATA)]])
def test_half_without_data_is_no_score(metrics: list[JudgedMetric]) -> None:
    """Nothing at all is without data, too."""
    result = score(metrics, {})
    assert result.total == 0
    assert "have no data" in result.reason


@pytest.mark.parametrize("weights", [{"a": 80.0, "b": 30.0}, {"a": -1.0}])
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float]) -> None:
    """More than 100 together would let a stage pass with a failed group."""
    with pytest.raises(ValueError, match="must be 0 or more, and at most 100 together"):
        score([judged("a", Classification.PASS)], weights)


def test_an_interval_below_marginal_fails_whatever_comes_after() -> None:
    """A good end does not undo it."""
    verdict, reason = judge_scores([60, 100], 95, 75)
    assert verdict is Verdict.FAIL
    assert reason == "score 60 is below marginal 75"


def test_no_interval_is_never_a_pass() -> None:
    """Nothing was judged."""
    assert judge_scores([], None, None)[0] is Verdict.INCONCLUSIVE


def check(**more: Any) -> CheckSpec:
    """Return a check of latencies over single minutes."""
    return CheckSpec.model_validate({
        "metric": "latency_p95", "ratio_to_baseline": 1.1, "test": "mann_whitney", **more})


@pytest.mark.parametrize(("times", "direction", "said"), [
    (1.3, None, Verdict.FAIL),
    (1.3, "decrease", Verdict.PASS),
    (0.7, None, Verdict.PASS),
    (0.7, "decrease", Verdict.FAIL),
    (0.7, "either", Verdict.FAIL),
    (1.3, "either", Verdict.FAIL),
    (1.05, None, Verdict.PASS),  # shown, but allowed by the ratio
])
def test_a_check_fails_in_its_direction(
    times: float, direction: str | None, said: Verdict
) -> None:
    """An increase, unless the plan says otherwise, by at least the ratio."""
    baseline = [0.1 + n % 5 / 1000 for n in range(30)]
    minutes = Minutes(baseline, [times * each for each in baseline])
    found = judge_by_minutes(check(direction=direction), minutes, 3000, 100)
    assert found.verdict is said, found.reason


@pytest.mark.parametrize(("count", "samples", "missing"), [
    (4, 3000, "4 minutes of the candidate and 6 of the baseline: each needs at least 5"),
    (0, 3000, "0 minutes of the candidate"),
    (6, 99, "99 of at least 100 samples"),
])
def test_too_little_is_neither_a_pass_nor_a_failure(
    count: int, samples: int, missing: str
) -> None:
    """A rank test that could not show anything would pass whatever happens."""
    series: list[float | None] = [*HIGH_LEVEL[:count], *[None] * (6 - count)]
    found = judge_by_minutes(check(), Minutes(LOW_LEVEL, series), samples, 100)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert missing in found.reason


def test_the_document_of_a_check_reaches_it_again() -> None:
    """Also after it was stored as JSON, with minutes in which nothing was measured."""
    minutes = Minutes([0.0, None, *NOTHING], [None, *HIGH_LEVEL])
    found = judge_by_minutes(check(), minutes, 500, 100)
    stored = json.loads(json.dumps(found.document))
    again = judge_by_minutes(
        check(), Minutes(stored["baseline"], stored["candidate"]), 500, 100)
    assert again == found
    assert again.document == stored
    assert found.verdict is Verdict.FAIL
