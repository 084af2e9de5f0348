"""What holds of every verdict by buckets, whatever was counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.counters import COUNTED
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.keeping import pack_stage, unpack_stage
from changeover.analysis.sequential.peak import before_in, peak_before, peak_in
from changeover.analysis.sequential.slices import Counter, Slice, merged
from changeover.analysis.sequential.slow import bound_of, condition_of
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from tests.core.analysis.test_sequential import TENTH, traffic, users
from tests.core.analysis.test_slow import USUAL, stage

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = 3600
FEW = st.integers(0, 3)
PEOPLE = st.dictionaries(
    st.integers(0, BUCKETS - 1), st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4)
"""A handful of users: bucket, (requests, bad ones at most)."""


def check(metric: str = "error_rate", **bound: object) -> CheckSpec:
    """Return a check; at most twice the baseline's unless another bound is given."""
    return CheckSpec.model_validate({"metric": metric, **(bound or {"ratio_to_baseline": 2})})


def minute(counts: Counts, number: int, gateway: str = "main") -> Slice:
    """Return counts as a minute's slice of one gateway."""
    start = number * 60
    sums = {Counter.REQUESTS: counts.requests, Counter.ERRORS: counts.events}
    return Slice(TENTH.weight, start, start + 60, sums, {"no key": 1}, gateway)


def of(people: dict[int, tuple[int, int]], weight: int) -> Slice:
    """Return a slice of a few users, with every counter."""
    requests, bad = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
    for bucket, (number, failed) in people.items():
        requests[bucket], bad[bucket] = number, min(number, failed)
    of_all = (Counter.REQUESTS, Counter.ANSWERS)
    return Slice(weight, 0, HOUR, {name: requests if name in of_all else bad for name in Counter})


def sums(hours: list[Slice], past: Slice, weight: int) -> StageSums:
    """Return a stage of these hours."""
    return StageSums(weight, hours, replace(past, weight=0), NOON, NOON + timedelta(hours=1), 1)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_minutes_of_several_gateways_in_any_order_give_the_same_verdict(
    seed: int, parts: int
) -> None:
    """Not one bit of the evidence depends on what was added first."""
    people = users(seed, 300)
    past = minute(traffic(people, 5_000, seed), 0)
    minutes = [minute(traffic(people, 2_000, seed + n + 1, times=3.0), n, f"gateway {n % 2}")
               for n in range(parts)]
    order = np.random.default_rng(seed).permutation(parts)
    found = [
        judge_by_buckets(check(), sums([merged(each)], past, TENTH.weight)).as_evidence()
        for each in (minutes, [minutes[n] for n in order])
    ]
    assert found[0] == found[1]


@settings(max_examples=40)
@given(PEOPLE, PEOPLE, st.sampled_from([1, 1000, 5000, BUCKETS - 1]),
       st.sampled_from(sorted(COUNTED)), st.sampled_from([
           {"ratio_to_baseline": 1.1}, {"ratio_to_baseline": 5},
           {"difference_to_baseline": "0.1%"}]))
def test_a_handful_of_users_is_judged_rightly_or_not_at_all(
    people: dict[int, tuple[int, int]], before: dict[int, tuple[int, int]], weight: int,
    metric: str, bound: dict[str, object],
) -> None:
    """No user, one user, few events: never an exception, and nothing passes for lack of data."""
    found = judge_by_buckets(
        check(metric, **bound, min_samples=1), sums([of(people, weight)], of(before, 0), weight))
    events = sum(min(each) for each in people.values())
    if found.verdict is not Verdict.INCONCLUSIVE:
        assert events, "zero errors decide nothing"
    if found.verdict is Verdict.PASS:
        assert found.samples >= 1
        assert any(bucket >= weight and min(each) for bucket, each in people.items()), \
            "a pass is shown by the baseline's bad requests alone"


@pytest.mark.parametrize("weight", [1000, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_one_users_requests_never_pass_and_never_fail(weight: int, seed: int) -> None:
    """However many requests and errors one user has on either system, it is one reason."""
    chance = np.random.default_rng(seed)
    for bucket in (0, BUCKETS - 1):
        bad = int(chance.integers(1, 100_000))
        stage = sums([of({bucket: (200_000, bad)}, weight)], of({}, 0), weight)
        assert judge_by_buckets(check(), stage).verdict is Verdict.INCONCLUSIVE


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.1, 2.0]), FEW)
def test_a_further_error_of_the_candidate_takes_back_nearly_nothing(
    seed: int, margin: float, more: int
) -> None:
    """It never speaks for the candidate by more than the new estimate of the usual share does."""
    people = users(seed, 300)
    past, before = traffic(people, 50_000, seed + 1), traffic(people, 10_000, seed + 2, times=3.0)
    mine = np.flatnonzero((before.requests > 0)[:TENTH.weight])
    events = before.events.copy()
    np.add.at(events, np.random.default_rng(seed).choice(mine, more + 1), 1)
    after = Counts(np.maximum(before.requests, events), events)
    first, then = (weigh(Question(each, past, TENTH, margin)) for each in (before, after))
    assert then.parts["first"] >= first.parts["first"]
    assert then.log_worse >= first.log_worse - 0.1 * (more + 1)


def looked(
    asked: CheckSpec, hours: list[Slice], past: Slice, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what one look stores of a check, and what it gives again from what was stored.

    Args:
        asked: The check.
        hours: What was counted of the stage.
        past: What was counted before it.
        before: What the look before stored.
    """
    stage = replace(sums(hours, past, TENTH.weight), end=NOON + timedelta(hours=len(hours)))
    peak = peak_before(asked, stage, [before] if before else [])
    found = judge_by_buckets(asked, stage, peak).as_evidence()
    stored = json.loads(json.dumps(found))
    again = unpack_stage(pack_stage(stage, [asked]), stored)
    assert judge_by_buckets(asked, again, before_in(stored)).as_evidence() == found
    return {**found, "check": asked.model_dump(mode="json", exclude_defaults=True)}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 20)), min_size=1, max_size=3))
def test_a_fail_stays_a_fail_whatever_is_counted_next(
    seed: int, later: list[tuple[float, int]]
) -> None:
    """Further errors of the candidate, none at all for hours, or both; to the last bit again."""
    people, chance = users(seed), np.random.default_rng(seed)
    past, bad = traffic(people, 50_000, seed + 1), traffic(people, 50_000, seed + 2, times=8.0)
    hours, before = [minute(bad, 0)], minute(past, 0)
    found = looked(check(), hours, before)
    assume(found["verdict"] == Verdict.FAIL)
    highest = found["sequential"]["log_worse"] - found["sequential"]["log_bar"]
    mine = np.flatnonzero(bad.requests[:TENTH.weight])
    for number, (times, more) in enumerate(later, 1):
        next_ = traffic(people, 30_000, seed + 2 + number, times=times)
        np.add.at(next_.events, chance.choice(mine, more), 1)
        hours.append(minute(Counts(np.maximum(next_.requests, next_.events), next_.events), number))
        found = looked(check(), list(hours), before, found)
        assert found["verdict"] == Verdict.FAIL
        peak = peak_in(found)
        assert peak is not None
        assert peak.excess >= highest
        highest = peak.excess


def test_harm_that_went_away_was_shown_and_the_reason_says_when() -> None:
    """The evidence has fallen below its bar since; the verdict has not."""
    people = users(1)
    past = minute(traffic(people, 50_000, 2), 0)
    bad = minute(traffic(people, 50_000, 3, times=8.0), 0)
    well = [minute(traffic(people, 200_000, 3 + n, times=0.2), n) for n in range(1, 4)]
    first = looked(check(), [bad], past)
    alone, then = looked(check(), [bad, *well], past), looked(check(), [bad, *well], past, first)
    assert (first["verdict"], alone["verdict"], then["verdict"]) == (
        Verdict.FAIL, Verdict.PASS, Verdict.FAIL)
    assert "is shown" in first["reason"]
    assert "times the baseline's was shown at 2026-01-02 13:00:00 UTC" in then["reason"]
    assert then["sequential"]["before"]["log_worse"] == first["sequential"]["log_worse"]


def test_what_asked_something_else_is_no_look_before() -> None:
    """Another margin, split, number of checks or beginning: the evidence is of another question."""
    people = users(1)
    past, bad = (minute(traffic(people, 50_000, seed, times=times), 0)
                 for seed, times in ((2, 1.0), (3, 8.0)))
    first = looked(check(), [bad], past)
    stage = sums([bad], past, TENTH.weight)
    assert peak_before(check(), stage, [first]) is not None
    others = [replace(stage, weight=2000), replace(stage, checks=2),
              replace(stage, start=NOON + timedelta(seconds=1))]
    assert [peak_before(check(), each, [first]) for each in others] == [None] * 3
    assert peak_before(check(ratio_to_baseline=3), stage, [first]) is None


@pytest.mark.parametrize(("one", "other"), [
    ({"difference_to_baseline": "20ms"}, {"difference_to_baseline": "0.02s"})])
def test_units_of_time_change_no_verdict(one: dict[str, str], other: dict[str, str]) -> None:
    """Milliseconds and seconds in a plan ask the same question and get the same answer."""
    mine, theirs = check("latency_p95", **one), check("latency_p95", **other)
    assert bound_of(mine, USUAL) == bound_of(theirs, USUAL)
    bound = bound_of(mine, USUAL)
    assert bound is not None
    known = stage((0.09, 0.05))
    usual = next(iter(known.bounds.values()))
    # the same counters under the name of this condition
    renamed = replace(known, bounds={condition_of(mine): replace(usual, condition=bound.condition)})
    found = [judge_by_buckets(each, renamed).as_evidence() for each in (mine, theirs)]
    assert found[0] == found[1]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**9), st.sampled_from([1, 60, 1000]))
def test_when_and_how_fast_it_was_counted_changes_no_evidence(
    seed: int, shift: int, times: int
) -> None:
    """The same counts later, or over a longer time, are the same evidence."""
    people = users(seed, 300)
    past, now = traffic(people, 5_000, seed), traffic(people, 5_000, seed + 1, times=3.0)
    first = sums([minute(now, 1)], minute(past, 0), TENTH.weight)
    moved = [replace(each, start=each.start * times + shift, end=each.end * times + shift)
             for each in (first.parts[0], first.past)]
    other = replace(first, parts=[moved[0]], past=moved[1],
                    start=first.start + timedelta(seconds=shift),
                    end=first.end + timedelta(seconds=shift))
    one, two = (judge_by_buckets(check(), each) for each in (first, other))
    assert (one.verdict, one.reason, one.value) == (two.verdict, two.reason, two.value)
    assert one.sequential is not None
    assert two.sequential is not None
    assert one.sequential["stage"] == two.sequential["stage"]


@pytest.mark.parametrize("margin", [1.1, 2.0])
def test_with_a_margin_another_split_is_no_evidence_either(margin: float) -> None:
    """Over random splits of the same traffic the mean e-value is at most 1."""
    people = users(1)
    past, now = traffic(people, 100_000, 2), traffic(people, 50_000, 3)
    chance = np.random.default_rng(4)
    found = []
    for _ in range(300):
        order = chance.permutation(BUCKETS)
        parts = [Counts(each.requests[order], each.events[order]) for each in (now, past)]
        found.append(float(np.exp(weigh(Question(*parts, Split(1000), margin)).log_worse)))
    assert np.mean(found) <= 1 + 3 * np.std(found) / np.sqrt(len(found))
