"""Kayenta's further keys: how series are prepared and compared, and one score of many metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from changeover.analysis.check import as_asked
from changeover.analysis.check_words import group_text
from changeover.analysis.gate import GateResult, judge_gate
from changeover.analysis.mann_whitney.minutes import Minutes, judge_by_minutes, rule_of
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from tests.core.analysis.test_gate import result
from tests.core.analysis.test_groups import plan_of

RANKED = {"metric": "latency_p95", "ratio_to_baseline": 1.1, "test": "mann_whitney"}
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
SAID = {PASS: "Pass", FAIL: "High", UNKNOWN: "Nodata"}


def ranked(**more: Any) -> CheckSpec:
    """Return a check by ranks with further keys."""
    ratio = {"ratio_to_baseline": more.pop("ratio_to_baseline", 1.1)}
    return CheckSpec.model_validate({**RANKED, **ratio, "ranks": more})


def verdict(
    check: CheckSpec, baseline: list[float | None], candidate: list[float | None]
) -> Verdict:
    """Return what is said of two series of minutes."""
    return judge_by_minutes(check, Minutes(baseline, candidate), 1000, 100).verdict


LEVEL: list[float | None] = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 0.98, 1.01, 0.99]


def test_keys_of_a_metric_reach_the_rule() -> None:
    """What a plan says is what Kayenta's judge is asked."""
    rule = rule_of(ranked(
        missing="zero", outliers="remove", outlier_factor=2, outlier_lenient=False, tolerance=0.1,
        confidence=0.9, effect="cles", allowed_increase=0.7, critical=True, critical_increase=0.9,
        ratio_to_baseline=1))
    assert (str(rule.preparation.nan), str(rule.preparation.outliers)) == ("replace", "remove")
    assert (rule.preparation.factor, rule.preparation.is_lenient) == (2, False)
    assert (rule.tolerance, rule.confidence, str(rule.effect)) == (0.1, 0.9, "cles")
    assert (rule.allowed.increase, rule.critical.increase, rule.is_critical) == (0.7, 0.9, True)


def test_minutes_without_a_value_are_left_out_or_zero() -> None:
    """Of a metric such as errors a second, silence may be the best value."""
    sparse = [None] * 30 + LEVEL[:6]
    assert verdict(ranked(), LEVEL, sparse) is PASS
    assert verdict(ranked(missing="zero"), sparse, LEVEL) is FAIL


def test_outliers_are_kept_or_removed() -> None:
    """Two spikes decide a ratio of means, unless they are taken out."""
    high: list[float | None] = [1.3 * (each or 0) for each in LEVEL]
    spiked = [*high[:8], 40.0, 50.0]
    assert verdict(ranked(ratio_to_baseline=2), LEVEL, spiked) is FAIL
    without = ranked(ratio_to_baseline=2, outliers="remove", outlier_lenient=False)
    assert verdict(without, LEVEL, spiked) is PASS


@pytest.mark.parametrize(("effect", "allowed", "said"), [
    ("cles", 0.9, FAIL), ("cohen_d", 1.0, FAIL), ("cohen_d", 50.0, PASS)])
def test_effect_may_be_measured_otherwise(effect: str, allowed: float, said: Verdict) -> None:
    """How often the candidate's minute is the larger one, or by how many deviations."""
    high: list[float | None] = [1.5 * (each or 0) for each in LEVEL]
    check = ranked(effect=effect, allowed_increase=allowed, ratio_to_baseline=1)
    assert verdict(check, LEVEL, high) is said


def score(*verdicts: Verdict, checks: list[dict[str, Any]] | None = None, **asked: Any
          ) -> GateResult:
    """Return what a gate says of a score of checks with these verdicts."""
    of = checks or [RANKED] * len(verdicts)
    specs = plan_of({"score": {"pass": 80, **asked, "of": of}}).gates["slo"]
    found = []
    for check, said in zip(specs, verdicts, strict=True):
        document = {"classification": SAID[said], "is_critical": bool(
            check.ranks and check.ranks.critical and said is FAIL),
            "groups": list(check.ranks.groups) if check.ranks else []}
        found.append(as_asked(check, replace(result(said, "because"), by_minutes=document)))
    return judge_gate("slo", found)


def in_group(name: str, **ranks: Any) -> dict[str, Any]:
    """Return a check that counts in a group."""
    return {**RANKED, "ranks": {"groups": [name], **ranks}}


@pytest.mark.parametrize(("verdicts", "asked", "said"), [
    ((PASS, PASS, PASS, PASS, FAIL), {}, PASS),
    ((PASS, PASS, FAIL), {}, FAIL),
    ((PASS, PASS, FAIL), {"marginal": 60}, UNKNOWN),
    ((PASS, FAIL, FAIL), {"marginal": 60}, FAIL),
    ((PASS, UNKNOWN), {}, UNKNOWN),
    ((UNKNOWN, UNKNOWN), {}, UNKNOWN),
])
def test_score_is_the_share_that_passes(
    verdicts: tuple[Verdict, ...], asked: dict[str, Any], said: Verdict
) -> None:
    """Below marginal it fails; between marginal and pass, or without data, nobody knows."""
    assert score(*verdicts, **asked).verdict is said


def test_check_of_a_score_is_read_from_its_evidence_as_it_was() -> None:
    """So that a verdict can be reached again."""
    (check,) = plan_of({"score": {"pass": 80, "marginal": 60, "of": [RANKED]}}).gates["slo"]
    document = check.model_dump(mode="json", exclude_defaults=True)
    assert CheckSpec.model_validate(document) == check


def test_groups_have_weights() -> None:
    """What matters more counts more."""
    checks = [in_group("errors"), in_group("speed"), in_group("speed")]
    light = score(FAIL, PASS, PASS, checks=checks, weights={"errors": 10})
    heavy = score(FAIL, PASS, PASS, checks=checks, weights={"errors": 60})
    assert (light.verdict, heavy.verdict) == (PASS, FAIL)
    assert heavy.reason == "score 40 of 80 (2 groups)"
    assert group_text(heavy.results[0].as_evidence()) == "the score of 3 must reach 80: fail"


def test_group_without_data_is_no_pass() -> None:
    """Kayenta counts it as passed; a gate here passes nobody by what was not measured."""
    checks = [in_group("errors"), in_group("speed"), in_group("speed")]
    found = score(UNKNOWN, PASS, PASS, checks=checks)
    assert found.verdict is UNKNOWN
    assert "too little was measured" in found.reason


def test_check_that_must_have_data_fails_its_group() -> None:
    """The plan wants to see it, and nothing was measured."""
    checks = [{**RANKED, "on_no_data": "fail"}, RANKED, RANKED]
    specs = plan_of({"score": {"pass": 80, "of": checks}}).gates["slo"]
    found = [as_asked(specs[0], replace(result(UNKNOWN), samples=3))]
    for check in specs[1:]:
        found.append(as_asked(check, replace(result(PASS), by_minutes={"classification": "Pass"})))
    assert judge_gate("slo", found).verdict is FAIL


def test_critical_failure_makes_the_score_zero() -> None:
    """However many others pass."""
    checks = [in_group("errors", critical=True), *[RANKED] * 9]
    found = score(FAIL, *[PASS] * 9, checks=checks)
    assert found.verdict is FAIL
    assert found.reason.startswith("score 0 of 80 (critical: ")


def test_muted_check_counts_nowhere() -> None:
    """It is shown."""
    checks = [{**RANKED, "on_fail": "show"}, RANKED]
    found = score(FAIL, PASS, checks=checks)
    assert (found.verdict, len(found.results)) == (PASS, 2)


@pytest.mark.parametrize(("entry", "message"), [
    ({"score": {"pass": 80, "of": [{"metric": "up", "at_least": 1}]}}, "mann_whitney"),
    ({"score": {"pass": 60, "marginal": 80, "of": [RANKED]}}, "marginal 80 is above pass 60"),
    ({"score": {"pass": 60, "weights": {"a": 101}, "of": [RANKED]}}, "at most 100 together"),
    ({"metric": "up", "at_least": 1, "ranks": {}}, "works with `test: mann_whitney` only"),
    ({**RANKED, "ranks": {"effect": "cles"}}, "ratio_to_baseline must be 1"),
])
def test_key_that_cannot_be_meant_is_refused(entry: dict[str, Any], message: str) -> None:
    """With what would work."""
    with pytest.raises(ValidationError, match=message):
        plan_of(entry)
