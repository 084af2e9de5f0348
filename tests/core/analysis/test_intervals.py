"""Where the true value lies: shown beside a check, decides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.check import judge
from changeover.analysis.check_words import evidence_text, interval_text, outlook_text
from changeover.analysis.histogram import Histogram
from changeover.analysis.intervals import of_quantile, of_share, with_interval
from changeover.analysis.sequential.buckets import Counts
from changeover.analysis.sequential.interval import ratio_of, spread_of
from changeover.analysis.sequential.judging import judge_by_buckets, spread_in
from changeover.analysis.window import Sample, combine
from changeover.domain.routing import BUCKETS
from changeover.plan.conditions import CheckSpec
from tests.core.analysis.test_judging import HALF, NOON, check, hour, sums

SHARES = st.floats(0, 1)
IS_MINE = np.arange(BUCKETS) < HALF


@given(value=SHARES, bound=SHARES, samples=st.integers(1, 10**9), spread=st.floats(1, 100))
def test_interval_of_a_share_holds_the_share(
    value: float, bound: float, samples: int, spread: float
) -> None:
    """It is within 0 and 1, and more requests or less spread make it no wider."""
    low, high = of_share(value, samples, bound, spread)
    assert 0 <= low <= value <= high <= 1
    more_low, more_high = of_share(value, samples * 4, bound)
    assert more_low >= low - 1e-12 and more_high <= high + 1e-12


def test_no_event_says_little_where_few_were_allowed() -> None:
    """None of 1,000 is no proof of "below 0.1 %"; none of a million nearly is."""
    assert of_share(0.0, 1_000, 0.001)[1] == pytest.approx(0.00196, rel=0.01)
    assert of_share(0.0, 1_000_000, 0.001)[1] < 0.0001


def test_quantile_lies_between_its_neighbours_in_rank() -> None:
    """A thousand requests know their p95 to a few ranks; a hundred do not."""
    chance = np.random.default_rng(1)
    few, many = (Histogram.of(chance.lognormal(10, 0.6, number).astype(int).tolist())
                 for number in (100, 10_000))
    wide, narrow = of_quantile(few, 0.95), of_quantile(many, 0.95)
    assert wide is not None and narrow is not None
    true = np.exp(10 + 0.6 * 1.6449) / 1e6
    assert narrow[0] * 0.95 <= true <= narrow[1] * 1.05
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert of_quantile(Histogram(), 0.95) is None


def stage(times: float, seed: int) -> tuple[Counts, Counts]:
    """Return (past, stage) of 500 users of very different habits; the candidate errs more often."""
    chance = np.random.default_rng(seed)
    buckets = chance.integers(0, BUCKETS, 500)
    rate, habit = chance.lognormal(3, 1, 500), chance.beta(0.1, 9.9, 500)
    found = []
    for factor in (1.0, times):
        number = chance.poisson(rate)
        share = np.minimum(np.where(buckets < HALF, habit * factor, habit), 1.0)
        bad = chance.binomial(number, share)
        found.append(Counts(*(np.bincount(buckets, each, BUCKETS).astype(np.int64)
                              for each in (number, bad))))
    return found[0], found[1]


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_interval_of_the_ratio_holds_the_true_one(times: float) -> None:
    """At least nine of ten times, also when a few users make most of the errors."""
    held = 0
    for seed in range(60):
        past, counts = stage(times, seed)
        found = ratio_of(counts, past, IS_MINE)
        held += found is not None and found.low <= times <= found.high
    assert held >= 51


def test_without_any_event_there_is_no_ratio() -> None:
    """Nothing was learned."""
    past, counts = stage(1.0, 1)
    none = Counts(counts.requests, np.zeros(BUCKETS, np.int64))
    assert ratio_of(none, past, IS_MINE) is None
    assert ratio_of(Counts.none(), past, IS_MINE) is None


def test_users_who_err_together_make_the_spread() -> None:
    """A bucket with a hundred errors is not a hundred reasons."""
    number = np.full(BUCKETS, 100)
    apart = Counts(number, np.random.default_rng(1).binomial(100, 0.01, BUCKETS))
    together = Counts(number, np.where(np.arange(BUCKETS) % 100 == 0, 100, 0))
    assert spread_of(apart, IS_MINE) < 1.2
    assert spread_of(together, IS_MINE) > 50


def absolute(metric: str, **more: object) -> CheckSpec:
    """Return a check by an absolute bound."""
    return CheckSpec.model_validate({"metric": metric, **(more or {"below": "1%"})})


def test_check_by_an_absolute_bound_shows_its_interval() -> None:
    """With what the groups of users say of its exactness, where they are counted."""
    own = combine([Sample("candidate", 0, requests=1000, errors={"5xx": 5},
                          latency=Histogram.of([20_000] * 1000))], seconds=60)
    spread = spread_in(absolute("error_rate"), sums(hour((0.01, 0.01))))
    assert spread is not None
    for each, low, high in (
        (absolute("error_rate"), 0.0, 0.0112),
        (absolute("latency_p95", below="1s"), 0.02, 0.0212),
    ):
        result = with_interval(each, judge(each, own, None, start=NOON, end=NOON), own, spread)
        assert result.interval is not None
        assert result.interval["low"] == pytest.approx(low, abs=0.002)
        assert result.interval["high"] == pytest.approx(high, abs=0.002)


@pytest.mark.parametrize("metric", ["up", "cpu", "request_rate"])
def test_what_is_no_share_of_requests_has_no_interval(metric: str) -> None:
    """Seconds of one process resemble each other: nobody knows how exact their mean is."""
    own = combine([Sample("candidate", 0, requests=1000, probes=10, probes_up=9, cpu_cores=1.0,
                          watched=60)], seconds=60)
    each = absolute(metric, above=0)
    result = with_interval(each, judge(each, own, None, start=NOON, end=NOON), own)
    assert result.interval is None


@pytest.mark.parametrize(("bound", "text"), [
    ({"ratio_to_baseline": 2}, "4.9 × baseline, 4.6 to 5.3"),
    ({"difference_to_baseline": "1%"}, "4.0"),
])
def test_check_against_the_baseline_shows_the_ratio_or_difference(
    bound: dict[str, object], text: str
) -> None:
    """In the terms of its bound."""
    found = judge_by_buckets(check(**bound), sums(hour((0.05, 0.01)))).as_evidence()
    assert interval_text(found).startswith(text)
    assert evidence_text(found).startswith("harm ")
    assert outlook_text(found) == ""
