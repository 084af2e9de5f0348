"""Means of numbers against the baseline: what is evidence, what it says, what changes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.judging import judge_by_buckets, view_of
from changeover.analysis.sequential.keeping import pack_stage, unpack_stage
from changeover.analysis.sequential.mean_outlook import look_ahead_mean
from changeover.analysis.sequential.means import Foreseen, foresee, shifted, within_of
from changeover.analysis.sequential.ratio import mismatch
from changeover.analysis.sequential.scales import UNITS, Scale, chance_of, scale_of
from changeover.analysis.sequential.slices import OF_OUTCOMES, Slice, merged
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from tests.core.analysis.mean_stages import check, slice_of, stage, values_slice

SPLIT = Split(5000)


def are_compared(pairs: list[tuple[int, int]]) -> bool:
    """Whether the buckets are a fair sample: when nearly all are of one system, nobody compares."""
    buckets = {bucket for bucket, _ in pairs}
    mine = sum(bucket < SPLIT.weight for bucket in buckets)
    return mismatch(mine, len(buckets), SPLIT.share) is None


few = st.lists(
    st.tuples(st.integers(0, BUCKETS - 1), st.integers(0, UNITS)), min_size=30, max_size=200,
).filter(are_compared)


def log_worse(asked: CheckSpec, sums: StageSums) -> float:
    """Return the evidence of harm."""
    found = judge_by_buckets(asked, sums).sequential or {}
    return float(found["stage"]["log_worse"])


def of_pairs(asked: CheckSpec, pairs: list[tuple[int, int]]) -> StageSums:
    """Return a stage of values (bucket, units), after a time of the baseline."""
    owner, units = (np.array(each) for each in zip(*pairs, strict=True))
    past = values_slice(asked, weight=0, seed=9)
    return stage(slice_of(asked, owner, units), past=past)


@pytest.mark.parametrize(("times", "verdict"), [
    (1.0, Verdict.PASS), (1.1, Verdict.PASS), (0.9, Verdict.FAIL), (0.95, Verdict.INCONCLUSIVE)])
def test_a_lower_mean_fails_and_an_equal_one_passes(times: float, verdict: Verdict) -> None:
    """Heavy tails and sticky users; at the margin nothing is said."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    assert judge_by_buckets(asked, stage(values_slice(asked, times), past=past)).verdict is verdict


@pytest.mark.parametrize(("times", "verdict"), [(1.0, Verdict.PASS), (1.2, Verdict.FAIL)])
@pytest.mark.parametrize("bound", [{"ratio_to_baseline": 1.1}, {"difference_to_baseline": 8}])
def test_where_higher_is_worse_a_higher_mean_fails(
    bound: dict[str, float], times: float, verdict: Verdict
) -> None:
    """The cost of an order may rise by a tenth, or by 8."""
    asked = check(**{"ratio_to_baseline": None, **bound}, direction="increase")
    past = values_slice(asked, weight=0, seed=9)
    assert judge_by_buckets(asked, stage(values_slice(asked, times), past=past)).verdict is verdict


def test_a_difference_says_how_much_lower_is_allowed() -> None:
    """`difference_to_baseline: 8` with `decrease`: at most 8 lower."""
    asked = check(ratio_to_baseline=None, difference_to_baseline=8)
    past = values_slice(asked, weight=0, seed=9)
    found = [judge_by_buckets(asked, stage(values_slice(asked, times), past=past))
             for times in (1.0, 0.8)]
    assert [each.verdict for each in found] == [Verdict.PASS, Verdict.FAIL]
    assert (found[0].interval or {})["of"] == "difference"
    assert "more than 8 below the baseline's is shown" in found[1].reason


def test_what_is_shown_is_the_mean_with_its_interval() -> None:
    """The candidate's value has the margin back that was taken off to compare."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    found = judge_by_buckets(asked, stage(values_slice(asked, 0.9), past=past))
    interval = found.interval or {}
    assert found.value == pytest.approx(0.9 * (found.baseline_value or 0), rel=0.02)
    assert interval["of"] == "ratio"
    assert interval["low"] < 0.9 < interval["high"]
    assert found.reason.startswith(
        "outcome.order_value of candidate 73.77 in 33005 outcomes against the baseline's 82.25 in "
        "32437 at the same time (values from 0 to 500): less than 0.95 times the baseline's is "
        "shown")


def test_two_groups_of_users_by_hand() -> None:
    """One value a bucket, shift 4, spread 16, half of the users: the formula on paper.

    Residuals around the common level 50 are +10 and −10, so T is ±4 · 10 / 16 = ±2.5.
    """
    number, total = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
    number[[1, 6000]], total[[1, 6000]] = 1, (60, 40)
    foreseen = Foreseen(np.full(BUCKETS, 50.0), np.zeros(BUCKETS), 16.0, 50.0)
    (found,) = shifted(Counts(number, total), foreseen, (SPLIT.is_candidate, 0.5), [4.0])
    by_hand = 2.5 - math.log(0.5 + 0.5 * math.exp(2.5)) - math.log(0.5 + 0.5 * math.exp(-2.5))
    assert found == pytest.approx(by_hand)


def test_whichever_way_the_split_falls_the_mean_e_value_is_one() -> None:
    """The proof itself, for values of any law: over all splits of six users."""
    number, total = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
    number[:6], total[:6] = (1, 3, 2, 50, 1, 7), (100, 0, 130, 4000, 3, 99)
    counts = Counts(number, total)
    foreseen = foresee(counts, Counts.none(), 300.0)
    found = []
    for chosen in product([True, False], repeat=6):
        is_candidate = np.zeros(BUCKETS, bool)
        is_candidate[:6] = chosen
        found.append(np.exp(shifted(counts, foreseen, (is_candidate, 0.5), [-9.0, -2.0, 5.0])))
    assert np.mean(found, axis=0) == pytest.approx(1)


def test_the_split_permuted_among_buckets_gives_a_mean_e_value_of_at_most_one() -> None:
    """Sticky users and heavy tails, a split drawn 400 times."""
    asked = check()
    scale = scale_of(asked)
    assert scale is not None
    one, past = values_slice(asked, weight=0, seed=3), values_slice(asked, weight=0, seed=9)
    counts, before = (each.counts(scale.events, scale.of) for each in (one, past))
    within = within_of(counts, before, float(
        one.sums[scale.squares][0] + past.sums[scale.squares][0]))
    foreseen = foresee(counts, before, within)
    chance = np.random.default_rng(1)
    found = [np.exp(shifted(counts, foreseen, (chance.permutation(SPLIT.is_candidate), 0.5),
                            [-0.4, -0.2, 0.2, 0.4])) for _ in range(400)]
    errors = np.std(found, axis=0) / 20
    assert np.all(np.mean(found, axis=0) <= 1 + 3 * errors)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=5), st.randoms())
def test_slices_in_any_order_give_the_same_evidence(seeds: list[int], order: object) -> None:
    """Gateways, consoles, minutes: what is added up has no order."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    parts = [values_slice(asked, 0.9, seed=seed, each=0.2) for seed in seeds]
    mixed = list(parts)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    found = [log_worse(asked, stage(merged(each), past=past)) for each in (parts, mixed)]
    assert found[0] == found[1]


@given(few, st.sampled_from([0.125, 1, 64, 1 << 20]))
def test_the_unit_of_values_changes_nothing(
    pairs: list[tuple[int, int]], per_unit: float
) -> None:
    """Cents or euros: with the range in the same unit the evidence is the same."""
    asked = check(range=[0, 500 * per_unit])
    found = log_worse(asked, of_pairs(asked, pairs))
    plain = check()
    assert found == pytest.approx(log_worse(plain, of_pairs(plain, pairs)), abs=1e-9)


@given(few, st.integers(0, SPLIT.weight - 1))
def test_a_further_worst_value_of_the_candidate_takes_back_nearly_nothing(
    pairs: list[tuple[int, int]], where: int
) -> None:
    """One more order of nothing: the spread may widen by it, no more."""
    assume(are_compared([*pairs, (where, 0)]))
    asked = check()
    more = of_pairs(asked, [*pairs, (where, 0)])
    assert log_worse(asked, more) >= log_worse(asked, of_pairs(asked, pairs)) - 0.5


def test_everybody_spending_less_is_no_harm() -> None:
    """A sale or an hour of the day hits both systems, and tells nothing of either."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    owner = np.repeat(np.arange(BUCKETS), 3)
    units = np.random.default_rng(2).integers(0, 4, len(owner))  # a fifth of what is usual
    found = judge_by_buckets(asked, stage(slice_of(asked, owner, units), past=past))
    assert found.verdict is not Verdict.FAIL
    assert log_worse(asked, stage(slice_of(asked, owner, units), past=past)) < 0


def test_a_shift_of_one_system_does_not_widen_the_spread() -> None:
    """Or else harm would hide itself in long stages."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    scale = scale_of(asked)
    assert scale is not None
    found = []
    for times in (1.0, 0.5):
        one = values_slice(asked, times)
        counts = [each.counts(scale.events, scale.of) for each in (one, past)]
        squares = sum(int(each.sums[scale.squares][0]) for each in (one, past))
        found.append(within_of(*counts, squares))
    assert found[1] < found[0]


def test_without_values_nothing_was_learned() -> None:
    """E is 1 and a half for its price, however much the past knows."""
    asked = check()
    scale = scale_of(asked)
    assert scale is not None
    past = values_slice(asked, weight=0, seed=9).counts(scale.events, scale.of)
    view = view_of(asked, stage(slice_of(asked, np.array([], int), np.array([], int)), past=Slice(
        0, 0, 1, {})))
    assert view is not None
    found = weigh(replace(view.question, past=past))
    assert (found.log_worse, found.log_better) == (math.log(0.5), 0.0)
    assert look_ahead_mean(view) is None


def test_outcomes_without_a_key_are_in_no_comparison_and_it_is_said() -> None:
    """The reason names how many there were, and what they lack."""
    asked = check()
    none = Slice(5000, 0, 60, {}, {f"{OF_OUTCOMES}no key": 312, "no key": 5})
    found = judge_by_buckets(asked, stage(none, past=Slice(0, 0, 1, {})))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no outcome that says whose it is (`key`)" in found.reason
    assert found.reason.endswith("left out: 312 no key")
    assert (found.sequential or {})["excluded"] == {"no key": 312}


def test_what_is_left_out_is_said_beside_a_verdict() -> None:
    """As many outcomes as came without a key."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    hour = replace(values_slice(asked), excluded={f"{OF_OUTCOMES}no key": 7, "no key": 5})
    assert judge_by_buckets(asked, stage(hour, past=past)).reason.endswith("; left out: 7 no key")


@pytest.mark.parametrize("asked", [check(), check(segment="beta"), CheckSpec(
    metric="response_bytes", ratio_to_baseline=1.1)])
def test_a_verdict_of_a_mean_is_recomputed_to_the_last_bit(asked: CheckSpec) -> None:
    """From its evidence and its packed sums, every number comes out the same again."""
    prefix = f"{asked.subset} " if asked.subset else ""
    plain = asked.model_copy(update={"segment": None})

    def hour(times: float, weight: int, seed: int) -> Slice:
        found = values_slice(plain, times, weight=weight, seed=seed)
        sums = {name if name == "requests" else prefix + name: numbers
                for name, numbers in found.sums.items()}
        of = OF_OUTCOMES if asked.metric != "response_bytes" else ""
        return replace(found, sums=sums, excluded={f"{prefix}{of}no key": 3})

    sums = stage(hour(0.93, 5000, 1), hour(0.94, 5000, 2), past=hour(1, 0, 9), checks=3)
    first = judge_by_buckets(asked, sums)
    document = json.loads(json.dumps({**first.as_evidence(), "subset": asked.subset}))
    again = judge_by_buckets(asked, unpack_stage(pack_stage(sums, [asked]), document))
    assert json.loads(json.dumps(again.as_evidence())) == json.loads(
        json.dumps(first.as_evidence()))
    assert first.samples > 0


def test_an_undecided_check_says_how_much_longer() -> None:
    """With less than it needs, more of the same traffic tells."""
    asked = check(ratio_to_baseline=0.9)
    past = values_slice(asked, weight=0, seed=9)
    view = view_of(asked, stage(values_slice(asked, seed=3, each=0.4), past=past))
    assert view is not None
    found = look_ahead_mean(view)
    assert found is not None
    assert found.seconds is not None
    assert 0 < found.seconds < found.farthest
    assert look_ahead_mean(view) == found


@given(st.floats(-1e6, 1e6), st.floats(0, 0.999), st.booleans())
def test_a_value_counts_as_a_part_of_its_range(
    value: float, chance: float, is_candidate: bool
) -> None:
    """Beyond the ends it is the end, and rounding by chance moves it by less than a part."""
    scale = Scale("outcome.order_value", 0, 500, ratio=0.95, is_falling=True)
    found = scale.units(value, chance, is_candidate=is_candidate)
    exact = min(1.0, max(0.0, (value / 0.95 if is_candidate else value) / 500)) * UNITS
    assert 0 <= found <= UNITS
    assert abs(found - exact) < 1


def test_rounding_by_chance_moves_no_mean() -> None:
    """A value between two parts counts as either, by what its id gives."""
    scale = Scale("outcome.confidence", 0, 1)
    found = [scale.units(0.5025, chance_of(f"order-{each}"), is_candidate=False)
             for each in range(4000)]
    assert np.mean(found) == pytest.approx(50.25, abs=0.03)


@given(st.floats(1, 1e9), st.sampled_from([0.5, 0.9, 1.1, 3.0]))
def test_sizes_at_the_margin_count_as_the_baselines(size: float, ratio: float) -> None:
    """Whatever an answer's size: that times the margin counts the same for the candidate."""
    scale = Scale("response_bytes", 0, 25, ratio=ratio, is_log=True)
    same = [scale.units(size * each, 0.5, is_candidate=is_candidate)
            for each, is_candidate in ((1, False), (ratio, True))]
    assert abs(same[0] - same[1]) <= 1  # in floating point, half a part may fall to either side


def test_a_mean_question_has_parts_to_show() -> None:
    """What `verdict` prints of a share has its place for a mean, too."""
    asked = check()
    past = values_slice(asked, weight=0, seed=9)
    view = view_of(asked, stage(values_slice(asked), past=past))
    assert view is not None
    assert isinstance(view.question, Question)
    assert {*weigh(view.question).document()["parts"]} == {"shift"}
