"""Checks on what external sources said: a source that failed decides none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.external import Readings, judge_again, judge_external
from changeover.domain.readings import Question, Reading, reading_of
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
START = NOW - timedelta(minutes=10)


def reading(value: float | None, samples: int = 1, system: str = "candidate",
            **changes: Any) -> Reading:
    asked = Question("external.failed", system, None, 600)
    return Reading(asked, "prom", "sum(failed)", NOW, NOW, value=value, samples=samples, **changes)


def check(**changes: Any) -> CheckSpec:
    return CheckSpec.model_validate(
        {"metric": "external.failed", "unit": "share", "min_samples": 1, **changes})


def judged(spec: CheckSpec, own: Reading, baseline: Reading | None = None) -> Any:
    return judge_external(spec, Readings(own, baseline, START, NOW))


@pytest.mark.parametrize(("value", "verdict"), [(0.009, Verdict.PASS), (0.01, Verdict.FAIL)])
def test_a_bound_is_judged_by_the_value(value: float, verdict: Verdict) -> None:
    """The reason names the value, the bound, the source and when it was asked."""
    found = judged(check(below="1%"), reading(value))
    assert found.verdict is verdict
    assert found.reason == (
        f"external.failed of candidate {value * 100:.3f} % is "
        f"{'below' if verdict is Verdict.PASS else 'at or above'} 1.000 %, by source prom at "
        "12:00:05 UTC")


@pytest.mark.parametrize(("bound", "baseline", "verdict"), [
    ({"ratio_to_baseline": 1.5}, 0.01, Verdict.PASS),
    ({"ratio_to_baseline": 1.1}, 0.01, Verdict.FAIL),
    ({"difference_to_baseline": "1%"}, 0.01, Verdict.PASS),
    ({"ratio_to_baseline": 1.1}, 0.0, Verdict.INCONCLUSIVE)])
def test_the_baseline_is_asked_as_well(
    bound: dict[str, Any], baseline: float, verdict: Verdict
) -> None:
    """Relative bounds compare what one source says of both systems."""
    found = judged(check(**bound), reading(0.012), reading(baseline, system="baseline"))
    assert (found.verdict, found.baseline_value) == (verdict, baseline), found.reason


@pytest.mark.parametrize("bound", [
    {"below": "1%"}, {"at_least": 0}, {"ratio_to_baseline": 9}, {"difference_to_baseline": 1}])
def test_a_source_without_a_value_decides_nothing(bound: dict[str, Any]) -> None:
    """Neither side of a comparison may be missing; the reason says which, and why."""
    spec = check(**bound)
    silent = reading(None, 0, problem="no answer within 5 s")
    baseline = reading(0.01, system="baseline") if spec.is_to_baseline else None
    found = judged(spec, silent, baseline)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "external.failed of candidate: source prom: no answer within 5 s"
    if baseline is not None:
        other = replace(silent, question=baseline.question)
        found = judged(spec, reading(0.01), other)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "of baseline: source prom: no answer" in found.reason


def test_too_few_samples_decide_nothing() -> None:
    """Where the source says how many samples stand behind the value."""
    found = judged(check(below="1%", min_samples=100), reading(0.5, 99))
    assert (found.verdict, found.samples) == (Verdict.INCONCLUSIVE, 99)
    assert "99 of at least 100 samples" in found.reason


@given(st.floats(0, 1), st.none() | st.floats(0, 1), st.sampled_from(["", "it is down"]),
       st.sampled_from(["below", "at_least", "ratio_to_baseline"]))
def test_a_stored_check_is_judged_the_same_again(
    value: float, other: float | None, problem: str, bound: str
) -> None:
    """From the store alone, without asking the source."""
    spec = check(**{bound: 0.5})
    own = reading(None if problem else value, problem=problem)
    baseline = None
    if spec.is_to_baseline:
        baseline = reading(other, int(other is not None), "baseline",
                           problem="" if other is not None else "it is down")
    found = judged(spec, own, baseline)
    kept = json.loads(json.dumps(found.as_evidence()))
    assert judge_again(spec, kept) == found
    assert (found.verdict is Verdict.INCONCLUSIVE) or not problem


def test_a_reading_is_the_same_after_the_store() -> None:
    """With the moment that the source says it is of."""
    kept = reading(0.25, 12, measured_at=START)
    assert reading_of("external.failed", json.loads(json.dumps(kept.as_evidence()))) == kept


def test_a_reading_grows_stale() -> None:
    """A value that was good when it was asked for is none when it is too old."""
    kept = reading(0.25, measured_at=START)
    assert kept.at(NOW, timedelta(minutes=10)) is kept
    old = kept.at(NOW + timedelta(seconds=1), timedelta(minutes=10))
    assert (old.value, old.samples) == (None, 0)
    assert "stale" in old.problem


def test_a_value_of_before_the_stage_is_none() -> None:
    """It says nothing about users who were moved since."""
    kept = reading(0.25, measured_at=START)
    assert kept.after(START) is kept
    early = kept.after(START + timedelta(seconds=1))
    assert early.value is None
    assert "before users were moved" in early.problem
