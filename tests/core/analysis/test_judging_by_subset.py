"""A segment is judged by its own requests, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.analysis.check import as_asked, judge
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.keeping import pack_stage, unpack_stage
from changeover.analysis.sequential.slices import Counter, Excluded, Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.window import Sample, combine
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from tests.core.analysis.test_judging import NOON, check, hour, sums

BETA = "segment:beta"
SHARES = st.floats(0, 0.2)


def beta_check(**parts: object) -> CheckSpec:
    """Return a check of at most twice the baseline's, of the segment."""
    return CheckSpec.model_validate(
        {"metric": "error_rate", "segment": "beta", "ratio_to_baseline": 2, **parts})


def named(one: Slice, subset: str) -> Slice:
    """Return a slice whose requests are a subset's."""
    return replace(one, sums={f"{subset} {name}": total for name, total in one.sums.items()})


def together(whole: Slice, subset: Slice, excluded: Mapping[str, int] | None = None) -> Slice:
    """Return a slice with all requests and those of a subset."""
    return replace(whole, sums={**whole.sums, **subset.sums}, excluded=excluded or {})


def stage(all_users: tuple[float, float], beta: tuple[float, float]) -> StageSums:
    """Return a stage in which the systems had these shares of errors, after a healthy hour."""
    past = together(hour((0.01, 0.01), seed=9), named(hour((0.01, 0.01), 2, seed=8), BETA))
    return sums(together(hour(all_users), named(hour(beta, 2, seed=3), BETA)), past=past)


def test_bad_cohort_fails_its_own_check_and_no_other() -> None:
    """Its users are a tenth of all, so that the whole looks healthy."""
    found = stage((0.01, 0.01), (0.2, 0.01))
    bad = judge_by_buckets(beta_check(), found)
    assert bad.verdict is Verdict.FAIL
    assert bad.reason.startswith("error_rate of candidate in segment beta 20")
    assert judge_by_buckets(check(), found).verdict is Verdict.PASS


@settings(max_examples=15, deadline=None)
@given(SHARES, SHARES, st.integers(1, 100))
def test_subset_is_judged_as_if_its_requests_were_all(
    mine: float, theirs: float, seed: int
) -> None:
    """The same numbers give the same evidence, whatever the rest of the users met."""
    alone = sums(hour((mine, theirs), seed=seed))
    of_beta = together(hour((0.0, 0.5), seed=2), named(hour((mine, theirs), seed=seed), BETA))
    past = together(alone.past, named(alone.past, BETA))
    beside = sums(of_beta, past=past)
    one, other = judge_by_buckets(check(), alone), judge_by_buckets(beta_check(), beside)
    assert (one.verdict, one.value, one.samples) == (other.verdict, other.value, other.samples)
    assert (one.sequential or {})["stage"] == (other.sequential or {})["stage"]


def test_segment_that_was_moved_has_nobody_to_compare() -> None:
    """Inconclusive with the reason, and never a pass."""
    moved = {f"{BETA} {Excluded.NOT_BY_SPLIT}": 70, Excluded.NOT_BY_SPLIT: 70}
    found = judge_by_buckets(beta_check(), sums(replace(hour((0.01, 0.01)), excluded=moved)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == (
        "error_rate in segment beta: all of segment beta is on one system, moved by a segment or "
        "by hand (70 requests), so that there is nobody to compare them with")


def test_segment_without_requests_is_inconclusive() -> None:
    """Nobody of it came, or it was not counted."""
    found = judge_by_buckets(beta_check(), sums(hour((0.01, 0.01))))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no request of segment beta was counted" in found.reason


@pytest.mark.parametrize("asked", [
    beta_check(), beta_check(metric="status_rate", status=404),
    CheckSpec(metric="status_rate", status=["404"], ratio_to_baseline=2),
], ids=["segment", "status of a segment", "status"])
def test_verdict_is_reached_again_from_what_is_stored(asked: CheckSpec) -> None:
    """The sums of a segment and of a status are stored with it, and what was left out."""
    bad = hour((0.05, 0.01)).sums[Counter.ERRORS]
    whole = together(hour((0.01, 0.01)), named(hour((0.05, 0.01)), BETA), {
        Excluded.NO_KEY: 3, f"{BETA} {Excluded.NO_KEY}": 2})
    counted = {**whole.sums, "status_rate 404": bad, f"{BETA} status_rate 404": bad}
    known = sums(replace(whole, sums=counted))
    result = as_asked(asked, judge_by_buckets(asked, known))
    document = result.as_evidence()
    again = unpack_stage(pack_stage(known, [asked]), document)
    assert as_asked(asked, judge_by_buckets(asked, again)).as_evidence() == document
    left_out = document["sequential"]["excluded"]
    assert left_out == {"no key": 2 if asked.segment else 3}


def test_two_values_of_a_moved_segment_are_not_compared() -> None:
    """`test: threshold` has no value of the baseline either, and says why."""
    own = combine([Sample("candidate", 1, requests=500)], seconds=60)
    nobody = combine([Sample("baseline", 1)], seconds=60)
    found = judge(beta_check(test="threshold"), own, nobody, start=NOON, end=NOON)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == (
        "error_rate of the baseline in segment beta, of whose users all are on the candidate: 0 "
        "of at least 100 samples")
