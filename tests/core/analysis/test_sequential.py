"""Evidence that may be read at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.analysis.sequential.buckets import Counts, Split, add
from changeover.analysis.sequential.e_values import log_product
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.ratio import LOG_ALARM, log_mismatch
from changeover.analysis.sequential.starts import MINUTES, MOST_HOURS, log_bar, log_bar_later
from changeover.analysis.sequential.thinning import thin
from changeover.domain.routing import BUCKETS

TENTH, HALF = Split(1000), Split(5000)
CERTAIN = math.log(100)


def users(seed: int, number: int = 2000, share: float = 0.01) -> tuple[np.ndarray, ...]:
    """Return users' rates (sum 1), shares of errors and buckets; both differ widely."""
    chance = np.random.default_rng(seed)
    rates = np.exp(chance.normal(0, 1.5, number))
    errors = chance.beta(0.1, 0.1 * (1 - share) / share, number)
    return rates / rates.sum(), errors, chance.integers(0, BUCKETS, number)


def traffic(
    people: tuple[np.ndarray, ...], requests: float, seed: int, times: float = 1.0,
    split: Split = TENTH,
) -> Counts:
    """Return what `people` do, where the candidate's errors are `times` as many."""
    rates, errors, buckets = people
    chance = np.random.default_rng(seed)
    number = chance.poisson(rates * requests)
    harmed = np.where(buckets < split.weight, times, 1.0)
    bad = chance.binomial(number, np.minimum(errors * harmed, 1))
    return Counts(np.bincount(buckets, number, BUCKETS).astype(np.int64),
                  np.bincount(buckets, bad, BUCKETS).astype(np.int64))


def moved(counts: Counts, order: np.ndarray) -> Counts:
    """Return the counts of buckets in another order: another split of the same users."""
    return Counts(counts.requests[order], counts.events[order])


@pytest.mark.parametrize("is_slow", [False, True], ids=["errors", "slow requests"])
def test_another_split_of_the_same_users_is_no_evidence(is_slow: bool) -> None:
    """Over random splits of the same traffic the mean e-value is at most 1, and 20 is rare."""
    people = users(1)
    past, stage = traffic(people, 100_000, 2), traffic(people, 50_000, 3)
    chance = np.random.default_rng(4)
    found = []
    for _ in range(800):
        order = chance.permutation(BUCKETS)
        found.append(math.exp(weigh(Question(
            moved(stage, order), moved(past, order), TENTH, is_slow=is_slow)).log_worse))
    assert np.mean(found) <= 1 + 3 * np.std(found) / math.sqrt(len(found))
    assert np.mean(np.array(found) >= 20) <= 0.05


def test_a_margin_is_passed_by_chance_at_most_once_in_twenty() -> None:
    """A candidate exactly at the margin of 2 is hardly ever called better than it."""
    passed = 0
    for seed in range(200):
        people = users(seed, 500)
        past = traffic(people, 100_000, seed + 1000)
        stage = traffic(people, 100_000, seed + 2000, times=2.0)
        log_better = weigh(Question(stage, past, TENTH, margin=2.0)).log_better
        passed += log_better is not None and log_better >= math.log(20)
    assert passed <= 16  # 10 are expected at most; more than 16 come once in 50


def test_harm_is_found_and_health_passes() -> None:
    """Five times the errors fail within 80,000 requests; equal ones pass a margin of 2."""
    people = users(5)
    past = traffic(people, 500_000, 6)
    harmed = weigh(Question(traffic(people, 80_000, 7, times=5.0), past, TENTH))
    healthy = weigh(Question(traffic(people, 500_000, 8), past, HALF, margin=2.0))
    assert harmed.log_worse > CERTAIN
    assert healthy.log_worse < 0
    assert healthy.log_better is not None
    assert healthy.log_better > math.log(20)


def test_zero_errors_against_300_of_10_000_is_a_failure() -> None:
    """A baseline without any error needs no ratio to zero."""
    requests = np.full(BUCKETS, 10, np.int64)
    events = np.zeros(BUCKETS, np.int64)
    events[:300] = 1
    assert weigh(Question(Counts(requests, events), Counts.none(), TENTH)).log_worse > CERTAIN


@pytest.mark.parametrize("requests", [0, 1, 1000])
@pytest.mark.parametrize("margin", [1.0, 1.1, 3.0])
def test_no_error_at_all_says_nothing(requests: int, margin: float) -> None:
    """Neither a failure nor a pass follows from zero errors, however many requests there are."""
    stage = Counts(np.full(BUCKETS, requests, np.int64), np.zeros(BUCKETS, np.int64))
    found = weigh(Question(stage, Counts.none(), TENTH, margin=margin))
    assert found.log_worse <= 0
    assert found.log_better is None or found.log_better <= 0


def test_a_margin_of_one_cannot_be_passed() -> None:
    """Nobody can show that something is not worse at all."""
    assert weigh(Question(Counts.none(), Counts.none(), TENTH)).log_better is None


def test_one_user_with_thousands_of_errors_is_one_reason() -> None:
    """However often one user fails, it is one user: no failure of the stage."""
    requests, events = np.full(BUCKETS, 10, np.int64), np.zeros(BUCKETS, np.int64)
    requests[7] = events[7] = 100_000
    assert weigh(Question(Counts(requests, events), Counts.none(), TENTH)).log_worse < CERTAIN


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_sums_of_parts_in_any_order_give_the_same_evidence(seed: int, parts: int) -> None:
    """Minutes and gateways may be added in any order: not one bit of the evidence changes."""
    people = users(seed, 300)
    pieces = [traffic(people, 2_000, seed + n + 1, times=3.0) for n in range(parts)]
    past = traffic(people, 5_000, seed)
    order = np.random.default_rng(seed).permutation(parts)
    one, other = (add(pieces), add([pieces[n] for n in order]))
    assert weigh(Question(one, past, TENTH)) == weigh(Question(other, past, TENTH))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 999))
def test_a_further_error_of_the_candidate_never_speaks_for_it(seed: int, bucket: int) -> None:
    """First errors only rise with an error of the candidate, as long as the past is known."""
    people = users(seed, 300)
    past, stage = traffic(people, 50_000, seed + 1), traffic(people, 5_000, seed + 2)
    events = stage.events.copy()
    events[bucket] += 1
    more = Counts(np.maximum(stage.requests, events), events)
    parts = [weigh(Question(each, past, TENTH)).parts["first"] for each in (stage, more)]
    assert parts[1] >= parts[0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([1.0, 1.1, 2.0, 5.0]))
def test_thinning_never_takes_back_an_event(few: int, added: int, margin: float) -> None:
    """More events keep at least those that were kept before, and the baseline's stay whole."""
    def kept(number: int) -> np.ndarray:
        events = np.full(BUCKETS, number, np.int64)
        return thin(Counts(events, events), HALF, margin).events

    before, after = kept(few), kept(few + added)
    assert (after >= before).all()
    assert (before[HALF.weight:] == few).all()


@pytest.mark.parametrize("number", [3, 64, 500, 20_000])
def test_thinning_keeps_the_share_that_it_says(number: int) -> None:
    """Of events at a margin of 2 half are kept, with a binomial law's spread."""
    events = np.full(BUCKETS, number, np.int64)
    kept = thin(Counts(events, events), HALF, 2.0).events[:HALF.weight]
    spread = math.sqrt(number) / 2
    assert abs(kept.mean() - number / 2) < 5 * spread / math.sqrt(HALF.weight)
    assert abs(kept.std() / spread - 1) < 0.06


def test_all_starts_together_keep_to_the_allowed_false_alarms() -> None:
    """A start in every minute of half a year: alpha in sum."""
    allowed = math.exp(-log_bar(0.01))
    for hour in range(MOST_HOURS + 3):
        allowed += math.exp(-log_bar_later(0.01, hour, 3, is_whole_hour=True))
        allowed += MINUTES * math.exp(-log_bar_later(0.01, hour, 3, is_whole_hour=False))
    assert allowed == pytest.approx(0.01)
    assert math.isinf(log_bar_later(0.01, MOST_HOURS + 3, 3, is_whole_hour=True))


@given(factors=st.lists(st.floats(1e-5, 1e15), max_size=100))
def test_logarithm_of_a_product_is_the_sum_of_logarithms(factors: list[float]) -> None:
    """Sixteen numbers at once are multiplied before the logarithm."""
    expected = sum(math.log(each) for each in factors)
    assert log_product(np.array(factors)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("weight", [0, 10_000])
def test_a_split_that_leaves_nothing_to_compare_is_refused(weight: int) -> None:
    """With everyone on one side only absolute bounds tell something."""
    with pytest.raises(ValueError, match="nothing to compare"):
        Split(weight)


def test_a_fifth_of_the_candidates_users_missing_is_a_mismatch() -> None:
    """At 10 % and some ten thousand users; a fair split is none, however many users there are."""
    assert log_mismatch(960, 10_800, 0.1) > LOG_ALARM
    assert log_mismatch(1_000, 9_000, 0.1) < 0
    assert log_mismatch(10_050, 90_000, 0.1) < 0
    assert log_mismatch(0, 0, 0.1) == 0
