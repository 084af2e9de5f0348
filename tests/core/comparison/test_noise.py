"""Telling regressions from noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from changeover.comparison.noise import (
    Judgement,
    PlaceCounts,
    benjamini_hochberg,
    judge_places,
    lower_bound,
    mcnemar,
    upper_bound,
)

numbers = st.integers(0, 300)


@given(numbers, numbers)
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    """One-sided, as scipy computes it."""
    expected = stats.binomtest(b, b + c, 0.5, alternative="greater").pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.integers(0, 200), st.integers(1, 200))
def test_bounds_are_clopper_and_pearsons(count: int, more: int) -> None:
    """As scipy computes them; the rate lies between."""
    total = count + more
    exact = stats.binomtest(count, total).proportion_ci(confidence_level=0.9, method="exact")
    assert lower_bound(count, total) == pytest.approx(exact.low, abs=1e-9)
    assert upper_bound(count, total) == pytest.approx(exact.high, abs=1e-9)
    assert lower_bound(count, total) <= count / total <= upper_bound(count, total)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_q_values_are_benjamini_and_hochbergs(p_values: list[float]) -> None:
    """As scipy computes them."""
    expected = list(stats.false_discovery_control(p_values)) if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(expected)


@pytest.mark.parametrize(("counts", "judgement"), [
    ((2000, 280, 400, 40, 24, 16), Judgement.REGRESSION),  # 14 % against 10 % noise
    ((2000, 200, 400, 20, 22, 18), Judgement.NOISE),
    ((2000, 0, 400, 0, 0, 0), Judgement.QUIET),
    ((20, 0, 4, 0, 0, 0), Judgement.INCONCLUSIVE),
    ((30, 30, 6, 6, 0, 0), Judgement.REGRESSION),  # a constant that differs is plain at once
    ((30, 30, 0, 0, 0, 0), Judgement.REGRESSION),
    ((500, 40, 0, 0, 0, 0), Judgement.INCONCLUSIVE),  # nobody knows how noisy it is
    ((5000, 3, 1000, 1, 0, 0), Judgement.INCONCLUSIVE),
], ids=str)
def test_place_is_judged_by_its_pairs(counts: tuple[int, ...], judgement: Judgement) -> None:
    """What the evidence allows to say, and never more."""
    (verdict,) = judge_places([PlaceCounts("$.a", *counts)])
    assert verdict.judgement is judgement, verdict.reason


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers), max_size=6))
def test_every_consistent_count_gets_a_verdict(rows: list[tuple[int, ...]]) -> None:
    """Total, with numbers in their ranges, and more looks never make a place more suspect."""
    counts = [
        PlaceCounts(f"$.f{n}", b + c + both + rest + more, b + both + min(more, rest),
                    b + c + both + rest, b, c, both)
        for n, (b, c, both, rest, more) in enumerate(rows)
    ]
    for verdict in judge_places(counts):
        assert 0 <= verdict.p_value <= verdict.q_value <= 1
        assert verdict.rate <= verdict.upper_bound
        assert verdict.reason
