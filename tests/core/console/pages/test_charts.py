"""What charts are made of: times that fit together, holes that stay holes, words for each."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.console.pages.charts import Chart, Line, Mark, aligned, short, with_gaps

SERIES = st.dictionaries(st.integers(0, 50), st.one_of(st.none(), st.floats(0, 1e6)), max_size=20)


@given(st.lists(SERIES, min_size=1, max_size=3))
def test_series_are_brought_to_the_same_times_and_lose_nothing(series: list[dict]) -> None:
    """Every value is found again at its time; where a series has none there is none."""
    times, columns = aligned(series)
    assert times == sorted(set(times))
    for known, column in zip(series, columns, strict=True):
        assert len(column) == len(times)
        found = dict(zip(times, column, strict=True))
        for at in times:
            assert found[at] == known.get(at)


@given(st.lists(st.integers(0, 500), unique=True).map(sorted), st.integers(1, 20))
def test_a_hole_is_marked_once_and_no_time_is_lost(times: list[int], step: int) -> None:
    """A line may not be drawn across a time in which nothing was measured."""
    found = with_gaps(times, step)
    assert found == sorted(set(found))
    assert set(times) <= set(found)
    holes = sum(b - a > 3 * step for a, b in itertools.pairwise(times))
    assert len(found) == len(times) + holes


@pytest.mark.parametrize(("value", "shown"), [
    (None, None), (math.nan, None), (math.inf, None), (0.0, 0.0), (1234567.0, 1234600.0),
    (0.000123456, 0.00012346)])
def test_values_are_sent_with_the_digits_that_a_chart_shows(
    value: float | None, shown: float | None
) -> None:
    """What is no number is a gap, not a zero."""
    assert short(value) == shown


def test_a_chart_says_in_words_what_it_shows() -> None:
    """For those who hear the page: extent and newest value of each line, with the unit."""
    chart = Chart("p95", "p95 of the duration", "ms", [1, 2, 3], [
        Line("baseline", "baseline", [10, 30, 20]), Line("candidate", "candidate", [None] * 3),
        Line("bound", "bound", [250, 250, 250])], [Mark(2, "→ beta 5 %", "good")])
    assert chart.summary == (
        "p95 of the duration. baseline: 10 to 30 ms, now 20 ms; candidate: no data; "
        "bound: always 250 ms.")
    sent = chart.as_json()
    assert sent["lines"][1]["values"] == [None, None, None]
    assert sent["marks"] == [{"at": 2, "text": "→ beta 5 %", "tone": "good"}]
