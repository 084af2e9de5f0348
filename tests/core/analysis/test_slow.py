"""From which duration on a request is slow, and what follows for a quantile's check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from changeover.analysis.histogram import Histogram
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.slow import bound_of, condition_of, is_timed, needed_requests
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.slices import SlowBound
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def check(metric: str = "latency_p95", **bound: object) -> CheckSpec:
    """Return a check; at most 1.1 times the baseline's unless another bound is given."""
    return CheckSpec.model_validate({"metric": metric, **(bound or {"ratio_to_baseline": 1.1})})


USUAL = Histogram.of([*range(1_000, 101_000, 100)])
"""A thousand requests of 1 to 101 ms: the p95 is 96 ms."""


def test_bound_is_the_baselines_quantile_rounded_up_to_an_edge() -> None:
    """The candidate's bound has the margin on top."""
    assert bound_of(check(), USUAL) == SlowBound(
        "latency_p95 ratio_to_baseline 1.1", 97_000, 106_700)


def test_difference_is_added_to_the_bound() -> None:
    """Twenty milliseconds more are allowed."""
    found = bound_of(check(difference_to_baseline="20ms"), USUAL)
    assert found is not None
    assert (found.baseline_us, found.candidate_us) == (97_000, 117_000)


@pytest.mark.parametrize(("metric", "needed"), [
    ("latency_p50", 200), ("latency_p95", 200), ("latency_p99", 1000)])
def test_rare_quantiles_need_more_of_the_baseline(metric: str, needed: int) -> None:
    """Ten requests beyond the quantile at least say where it is."""
    assert needed_requests(check(metric)) == needed
    assert bound_of(check(metric), Histogram.of([1_000] * (needed - 1))) is None
    assert bound_of(check(metric), Histogram.of([1_000] * needed)) is not None


def test_only_quantiles_that_are_compared_are_timed() -> None:
    """An absolute bound, and a threshold on purpose, need no bound of slow requests."""
    assert is_timed(check())
    assert not is_timed(check(below="100ms"))
    assert not is_timed(check(ratio_to_baseline=1.1, test="threshold"))
    assert not is_timed(check("error_rate", ratio_to_baseline=1.1))


def stage(shares: tuple[float, float], *, is_known: bool = True) -> StageSums:
    """Return a stage in which the candidate and the baseline had these shares of slow requests."""
    bound = bound_of(check(), USUAL)
    assert bound is not None

    def hour(shares: tuple[float, float], weight: int, seed: int) -> Slice:
        chance = np.random.default_rng(seed)
        number = chance.poisson(20, 10_000)
        slow = chance.binomial(number, np.where(np.arange(10_000) < 5000, *shares))
        return Slice(weight, 0, 3600, {bound.of: number, bound.events: slow})

    bounds = {condition_of(check()): bound} if is_known else {}
    return StageSums(5000, [hour(shares, 5000, 2)], hour((0.05, 0.05), 0, 1), NOON,
                     NOON + timedelta(hours=1), 1, bounds)


@pytest.mark.parametrize(("shares", "verdict"), [
    ((0.09, 0.05), Verdict.FAIL),
    ((0.03, 0.05), Verdict.PASS),
    ((0.05, 0.05), Verdict.INCONCLUSIVE),
], ids=["slower", "within the margin", "at the margin"])
def test_slow_requests_beyond_the_margin_fail(
    shares: tuple[float, float], verdict: Verdict
) -> None:
    """At the margin both systems have the same share of slow requests."""
    assert judge_by_buckets(check(), stage(shares)).verdict is verdict


def test_reason_says_what_was_slow() -> None:
    """The bounds and both shares stand in the sentence."""
    reason = judge_by_buckets(check(), stage((0.09, 0.05))).reason
    assert "of the candidate took longer than 106.7 ms" in reason
    assert "of the baseline longer than 97 ms" in reason


def test_without_a_bound_nothing_is_known() -> None:
    """Nobody may choose what is slow after the stage began."""
    found = judge_by_buckets(check(), stage((0.09, 0.05), is_known=False))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "fewer than 200 requests of the baseline were known" in found.reason
