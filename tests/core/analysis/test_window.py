"""Windows add samples up, and histograms keep quantiles within a bin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.histogram import Histogram, bin_of, bounds_of, merge
from changeover.analysis.window import Sample, combine
from changeover.plan.metrics import METRICS

DURATIONS = st.lists(st.integers(1, 10**9), min_size=1, max_size=50)


@given(st.integers(1, 10**12))
def test_bin_contains_its_value_and_is_at_most_a_tenth_wide(microseconds: int) -> None:
    """Every duration lies in its bin, and no bin is wider than 10 % of its lower bound."""
    lower, upper = bounds_of(bin_of(microseconds))
    assert lower <= microseconds * (1 + 1e-9)
    assert microseconds < upper * (1 + 1e-9)
    assert upper - lower <= lower * 0.1 * (1 + 1e-9)


@given(DURATIONS, st.floats(0, 1))
def test_quantile_is_off_by_a_bin_at_most(durations: list[int], q: float) -> None:
    """A quantile from the histogram is within 10 % of the one from the values themselves."""
    rank = max(1, -int(-q * len(durations) // 1))
    exact = sorted(durations)[rank - 1] / 1e6
    found = Histogram.of(durations).quantile_seconds(q)
    assert found == pytest.approx(exact, rel=0.101)


@given(DURATIONS)
def test_mean_is_off_by_half_a_bin_at_most(durations: list[int]) -> None:
    """The mean from the histogram is within 5 % of the values' own."""
    found = Histogram.of(durations).mean_seconds()
    assert found == pytest.approx(sum(map(float, durations)) / len(durations) / 1e6, rel=0.051)


@given(st.lists(DURATIONS, max_size=5))
def test_merged_histograms_equal_the_histogram_of_all_values(parts: list[list[int]]) -> None:
    """Merging is exact, and encoding loses nothing."""
    together = Histogram.of([value for part in parts for value in part])
    merged = merge(Histogram.of(part) for part in parts)
    assert dict(merged.counts) == dict(together.counts)
    assert Histogram.of_document(merged.document()).counts == merged.counts


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=10))
def test_window_is_the_sum_of_its_samples(rows: list[tuple[int, int]]) -> None:
    """Requests and failures of a window are those of its seconds together."""
    window = combine(
        (Sample("candidate", at, requests=ok + bad, errors={"reset": bad})
         for at, (ok, bad) in enumerate(rows)),
        seconds=10,
    )
    measured = window.measure("error_rate")
    total, bad = sum(a + b for a, b in rows), sum(b for _, b in rows)
    assert measured.samples == total
    assert measured.value == (bad / total if total else None)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_empty_window_measures_nothing(metric: str) -> None:
    """Without samples no metric has a value."""
    assert combine([], seconds=10).measure(metric).value is None
