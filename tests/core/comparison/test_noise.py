"""Telling regressions from noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from changeover.comparison.noise import (
    Judgement,
    PlaceCounts,
    anytime,
    benjamini_hochberg,
    judge_places,
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
    assert upper_bound(count, total) == pytest.approx(exact.high, abs=1e-9)
    assert count / total <= upper_bound(count, total)


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


@given(numbers, numbers)
def test_anytime_p_value_is_the_mixtures(b: int, c: int) -> None:
    """One over the mean likelihood ratio, as integrated numerically."""
    points = np.linspace(0.5, 1, 20_001)[1:-1]
    logs = b * np.log(2 * points) + c * np.log(2 * (1 - points))
    expected = min(1.0, 1 / float(np.exp(logs).mean())) if logs.max() < 600 else 0.0
    assert anytime(b, c) == pytest.approx(expected, rel=2e-3, abs=1e-12)


@given(numbers, numbers)
def test_evidence_never_starts_with_a_gain(b: int, c: int) -> None:
    """Fair game: the next pair, as likely one as the other, brings no more than is there now."""
    now, up, down = (min(1 / anytime(*pair), 1e300) for pair in ((b, c), (b + 1, c), (b, c + 1)))
    if min(now, up, down) > 1:  # elsewhere the p-value is cut at 1
        assert (up + down) / 2 <= now * (1 + 1e-9)


def test_looking_again_and_again_makes_no_firm_regression() -> None:
    """Of quiet places watched pair by pair, at most one in twenty is ever called firm."""
    chance = np.random.default_rng(7)
    ever_plain = ever_firm = 0
    for _ in range(400):
        ups = np.cumsum(chance.random(400) < 0.5)
        pairs = [(int(up), n - int(up)) for n, up in enumerate(ups, 1)][::5]
        ever_plain += any(mcnemar(*pair) <= 0.05 for pair in pairs)
        ever_firm += any(anytime(*pair) <= 0.05 for pair in pairs)
    assert ever_firm <= 400 * 0.05
    assert ever_plain > 400 * 0.1  # what the firm one protects from


def test_plain_regression_is_firm_and_says_so() -> None:
    """A border case is not, though it is significant at one look."""
    plain, border = judge_places([
        PlaceCounts("$.a", 2000, 300, 400, 80, 20, 10),
        PlaceCounts("$.b", 2000, 280, 400, 40, 24, 16),
    ])
    assert (plain.judgement, plain.is_firm) == (Judgement.REGRESSION, True)
    assert plain.reason.endswith("however often one looks")
    assert (border.judgement, border.is_firm) == (Judgement.REGRESSION, False)
