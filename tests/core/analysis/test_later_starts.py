"""Harm that begins late: asked about from the minute on in which it began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.check import CheckResult
from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.expected import expect, with_history
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.parts import HOUR, into_parts, recent_from
from changeover.analysis.sequential.slices import Counter, Slice, merged
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

TENTH = Split(1000)
BEGAN = 1_790_000_000 // HOUR * HOUR + 600
CHECK = CheckSpec(metric="error_rate", ratio_to_baseline=1.5)
PEOPLE = np.random.default_rng(5)
RATES = PEOPLE.gamma(0.5, 2.0, BUCKETS)
ERRING = np.minimum(1.0, PEOPLE.gamma(0.2, 5.0, BUCKETS) * 0.01)


def minutes(
    first: int, number: int, times: float = 1.0, seed: int = 1, per_minute: float = 0.2
) -> list[Slice]:
    """Return minutes of 2,000 requests, in which the candidate errs so many times as often."""
    chance = np.random.default_rng(seed)
    bad = ERRING * np.where(TENTH.is_candidate, times, 1.0)
    found = []
    for minute in range(first, first + number):
        requests = chance.poisson(RATES * per_minute)
        errors = chance.binomial(requests, np.minimum(1.0, bad))
        start = BEGAN + minute * 60
        found.append(Slice(TENTH.weight, start, start + 60, {
            Counter.REQUESTS: requests, Counter.ERRORS: errors}))
    return found


def counts_of_an_hour(seed: int, times: float = 1.0) -> Counts:
    """Return the sums of an hour."""
    (found,) = minutes(0, 1, times, seed, per_minute=12)
    return found.counts("errors")


def stage(found: Sequence[Slice], memo: Memo | None = None) -> StageSums:
    """Return a stage of these minutes, after two hours of the baseline."""
    end = found[-1].end
    past = replace(merged(minutes(-120, 120, seed=2)), weight=0)
    first, last = (datetime.fromtimestamp(each, UTC) for each in (BEGAN, end))
    return StageSums(TENTH.weight, into_parts(found, end), past, first, last, 1,
                     hours=4, memo=memo or Memo())


def judged(found: Sequence[Slice]) -> CheckResult:
    """Return the check's verdict."""
    return judge_by_buckets(CHECK, stage(found))


def test_harm_after_healthy_hours_fails_by_the_minute_in_which_it_began() -> None:
    """Two hours of health would hide six minutes of harm; its own minute does not."""
    healthy, harm = minutes(0, 130, seed=3), minutes(130, 6, times=6, seed=4)
    found = judged([*healthy, *harm])
    assert found.verdict is Verdict.FAIL
    assert found.sequential is not None
    assert abs(found.sequential["start"] - 130 * 60) <= 120
    assert found.sequential["stage"]["log_worse"] < found.sequential["log_bar"]
    # the same requests without a start of their own
    hidden = stage([*healthy, *harm])
    whole = replace(hidden, parts=[merged(hidden.parts)], memo=Memo())
    assert judge_by_buckets(CHECK, whole).verdict is not Verdict.FAIL


def test_candidate_that_was_better_first_and_then_is_as_good_is_not_called_worse() -> None:
    """What came before a start tells which users err, and not how often a system does."""
    found = judged([*minutes(0, 120, times=0.3, seed=6), *minutes(120, 60, seed=7)])
    assert found.verdict is not Verdict.FAIL


@pytest.mark.parametrize("seed", range(6))
def test_healthy_hours_fail_by_none_of_their_many_starts(seed: int) -> None:
    """A start in every minute of the newest hour has its share of the allowed alarms."""
    found = minutes(0, 90, seed=10 + seed)
    assert judged(found).verdict is not Verdict.FAIL


def test_what_a_memo_knows_changes_no_number() -> None:
    """The observer looks every few seconds and reckons only what is new."""
    memo = Memo()
    found = [*minutes(0, 62, seed=8), *minutes(62, 8, times=5, seed=9)]
    for number in (62, 63, 66, 70):
        known = stage(found[:number], memo)
        memo.forget(known.parts)
        assert judge_by_buckets(CHECK, known) == judged(found[:number])


@given(
    starts=st.sets(st.integers(BEGAN, BEGAN + 4 * HOUR), min_size=1, max_size=30),
    late=st.integers(0, 2 * HOUR),
)
def test_parts_are_minutes_of_the_newest_hour_and_hours_before(
    starts: set[int], late: int
) -> None:
    """Nothing is lost or counted twice, and each part is of one minute or one hour."""
    one = np.zeros(BUCKETS, np.int64)
    one[0] = 1
    found = [Slice(1, each, each + 1, {Counter.REQUESTS: one}) for each in sorted(starts)]
    end = max(starts) + late
    parts = into_parts(found[::-1], end)
    assert sum(int(each.sums[Counter.REQUESTS][0]) for each in parts) == len(starts)
    assert [each.start for each in parts] == sorted(each.start for each in parts)
    for each in parts:
        is_recent = each.start >= recent_from(end)
        length = 60 if is_recent else HOUR
        assert each.start // length == (each.end - 1) // length


@given(seed=st.integers(0, 10_000), times=st.floats(0.05, 20))
def test_history_tells_who_errs_but_not_which_system_errs_more(seed: int, times: float) -> None:
    """Whatever the candidate did before, its buckets together are expected to do as before."""
    past = counts_of_an_hour(seed)
    before = counts_of_an_hour(seed + 1, times)
    usual = expect(past, past)
    found = with_history(past, usual, before, TENTH.is_candidate)
    weights = before.requests
    for arm in (TENTH.is_candidate, ~TENTH.is_candidate):
        without = float((usual.shares * weights)[arm].sum())
        assert float((found.shares * weights)[arm].sum()) == pytest.approx(without, rel=0.25)


def test_history_without_any_event_of_a_system_tells_nothing() -> None:
    """Nobody can say then which of its users err."""
    past = counts_of_an_hour(1)
    before = Counts(past.requests, np.where(TENTH.is_candidate, 0, past.events))
    usual = expect(past, past)
    assert with_history(past, usual, before, TENTH.is_candidate) is usual
