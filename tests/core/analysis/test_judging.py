"""Checks against the baseline, judged by the sums of buckets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from changeover.analysis.sequential.counters import COUNTED
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.keeping import pack_stage, unpack_stage
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import BY_BUCKET, METRICS
from changeover.plan.statuses import WITH_STATUS

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HALF = 5000


def hour(
    shares: tuple[float, float], requests: int = 20, seed: int = 1, weight: int = HALF,
    events: Counter = Counter.ERRORS,
) -> Slice:
    """Return an hour in which the candidate and the baseline had these shares of bad requests."""
    chance = np.random.default_rng(seed)
    is_mine = np.arange(BUCKETS) < weight
    number = chance.poisson(requests, BUCKETS)
    bad = chance.binomial(number, np.where(is_mine, *shares))
    return Slice(weight, 0, 3600, {Counter.REQUESTS: number, Counter.ANSWERS: number, events: bad},
                 {"no key": 3})


def sums(*hours: Slice, past: Slice | None = None, checks: int = 1) -> StageSums:
    """Return a stage of these hours, after an hour of the baseline."""
    before = hour((0.01, 0.01), seed=9) if past is None else past
    noon = int(NOON.timestamp())
    parts = [replace(each, start=noon + number * 3600, end=noon + (number + 1) * 3600)
             for number, each in enumerate(hours)]
    return StageSums(hours[0].weight if hours else HALF, parts, replace(before, weight=0),
                     NOON, NOON + timedelta(hours=max(1, len(hours))), checks)


def check(metric: str = "error_rate", **bound: object) -> CheckSpec:
    """Return a check; at most twice the baseline's unless another bound is given."""
    return CheckSpec.model_validate({"metric": metric, **(bound or {"ratio_to_baseline": 2})})


def verdict(stage: StageSums, **bound: object) -> Verdict:
    """Return what is said of the error rate."""
    return judge_by_buckets(check(**bound), stage).verdict


def test_metrics_that_a_plan_may_compare_by_users_are_those_that_are_counted() -> None:
    """The plan's list and the counters name the same metrics."""
    timed = {name for name in BY_BUCKET if METRICS[name].quantile is not None}
    assert frozenset(COUNTED) == BY_BUCKET - timed - {*WITH_STATUS}


@pytest.mark.parametrize(("shares", "said"), [
    ((0.01, 0.01), Verdict.PASS),
    ((0.05, 0.01), Verdict.FAIL),
    ((0.02, 0.01), Verdict.INCONCLUSIVE),
], ids=["healthy", "five times", "at the margin"])
def test_harm_beyond_the_margin_fails_health_passes_between_nothing_is_known(
    shares: tuple[float, float], said: Verdict
) -> None:
    """Twice the baseline's errors are allowed."""
    assert verdict(sums(hour(shares))) is said


@pytest.mark.parametrize(("shares", "said"), [
    ((0.01, 0.01), Verdict.PASS), ((0.06, 0.01), Verdict.FAIL)])
def test_a_difference_is_a_margin_on_the_usual_share(
    shares: tuple[float, float], said: Verdict
) -> None:
    """One point more than the baseline's is allowed; five points more are not."""
    assert verdict(sums(hour(shares)), difference_to_baseline="1%") is said


@pytest.mark.parametrize("metric", sorted(COUNTED))
def test_every_metric_is_judged_by_its_own_counter(metric: str) -> None:
    """What is bad of one metric fails a check of it, and none of another."""
    counter = COUNTED[metric][0]
    stage = sums(hour((0.2, 0.01), events=counter))
    for other in COUNTED:
        found = judge_by_buckets(check(other), stage).verdict
        assert (found is Verdict.FAIL) == (COUNTED[other][0] is counter)


def test_zero_against_three_percent_fails_whatever_the_ratio() -> None:
    """A baseline without errors is no excuse: there is no ratio to zero, and none is needed."""
    past = hour((0.0, 0.0), seed=3)
    assert verdict(sums(hour((0.03, 0.0)), past=past), ratio_to_baseline=1.1) is Verdict.FAIL


def test_zero_errors_are_never_a_pass() -> None:
    """Who sees no error has learned nothing of how rare they are."""
    none = hour((0.0, 0.0))
    assert verdict(sums(none, past=none)) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("stage", [sums(), sums(hour((1.0, 0.0), requests=0))],
                         ids=["no slice", "no request"])
def test_without_requests_nothing_is_known(stage: StageSums) -> None:
    """Neither a failure nor a pass follows from nothing."""
    assert verdict(stage) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("weight", [0, BUCKETS])
def test_with_everyone_on_one_system_nothing_is_compared(weight: int) -> None:
    """Shadow and full stages have absolute bounds for what they need to know."""
    found = judge_by_buckets(check(), replace(sums(), weight=weight))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "all users are on one system" in found.reason


def test_fewer_samples_than_the_plan_wants_never_pass() -> None:
    """Evidence may be complete; the plan's `min_samples` still counts."""
    stage = sums(hour((0.01, 0.01)))
    found = judge_by_buckets(check(ratio_to_baseline=2, min_samples=10**6), stage)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "of at least 1000000 samples" in found.reason


def test_harm_after_many_healthy_hours_is_found_by_a_later_start() -> None:
    """Six healthy hours do not hide what the last one shows."""
    healthy: Sequence[Slice] = [hour((0.01, 0.01), seed=seed) for seed in range(20, 26)]
    found = judge_by_buckets(check(), sums(*healthy, hour((0.04, 0.01), requests=4, seed=30)))
    assert found.verdict is Verdict.FAIL
    assert found.sequential is not None
    assert found.sequential["start"] == 6 * 3600


def test_users_who_do_not_arrive_make_everything_inconclusive() -> None:
    """A fifth of the candidate's users missing: whoever is left is no fair sample."""
    chance = np.random.default_rng(1)
    present = chance.random(BUCKETS) < np.where(np.arange(BUCKETS) < HALF, 0.4, 0.5)
    fair = hour((0.05, 0.01))
    thin = replace(fair, sums={name: np.where(present, numbers, 0)
                               for name, numbers in fair.sums.items()})
    found = judge_by_buckets(check(), sums(thin))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "sample-ratio mismatch" in found.reason


def test_more_checks_need_more_evidence_each() -> None:
    """The allowed false alarms of a stage are shared by its checks."""
    stage = sums(hour((0.01, 0.01)))
    bars = [judge_by_buckets(check(), replace(stage, checks=checks)).sequential
            for checks in (1, 50)]
    assert bars[1]["log_bar"] - bars[0]["log_bar"] == pytest.approx(np.log(50))


def test_the_reason_is_two_sentences_that_a_product_manager_reads() -> None:
    """How much, against what, of how many users, and how sure."""
    assert judge_by_buckets(check(), sums(hour((0.05, 0.01)))).reason == (
        "error_rate of candidate 5.032 % in 99589 requests against the baseline's 1.016 % in "
        "100350 at the same time (3183 and 920 groups of users hit): more than 2 times the "
        "baseline's is shown. Looked at all the time, a healthy stage shows this at most once in "
        "a million")


def test_a_verdict_is_recomputed_to_the_last_bit() -> None:
    """From its evidence and its packed sums, every number comes out the same again."""
    stage = sums(*(hour((0.013, 0.01), seed=seed) for seed in (1, 2, 3)), checks=4)
    first = judge_by_buckets(check(), stage)
    document = json.loads(json.dumps(first.as_evidence()))
    again = judge_by_buckets(check(), unpack_stage(pack_stage(stage, [check()]), document))
    assert json.loads(json.dumps(again.as_evidence())) == document


def test_what_the_split_did_not_decide_is_told() -> None:
    """Requests that were left out stand in the evidence."""
    found = judge_by_buckets(check(), sums(hour((0.01, 0.01)), past=None))
    assert found.as_evidence()["sequential"]["excluded"] == {"no key": 3}


@pytest.mark.parametrize(("bound", "message"), [
    ({"ratio_to_baseline": 1}, "can never pass"),
    ({"difference_to_baseline": 0}, "can never pass"),
    ({"below": "1%", "test": "sequential"}, "compares the two systems"),
])
def test_a_question_that_has_no_answer_is_refused(
    bound: dict[str, object], message: str
) -> None:
    """A plan's author is told what to change before the night."""
    with pytest.raises(ValueError, match=message):
        check(**bound)


def test_a_metric_that_is_not_counted_by_users_is_refused() -> None:
    """`test: sequential` names the metrics that it works with."""
    with pytest.raises(ValueError, match="does not work with cpu, only with client_error_rate"):
        check("cpu", ratio_to_baseline=2, test="sequential")
