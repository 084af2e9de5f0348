"""How reports write numbers, times and words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import text

AT = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (0, "0 s"), (0.0314, "31 ms"), (3.24, "3.2 s"), (5, "5 s"), (59.6, "1 min"),
     (252, "4 min 12 s"), (3600, "1 h"), (3605, "1 h"), (90_000, "1 d 1 h"), (604_800, "7 d")],
)
def test_duration_names_its_two_largest_units(seconds: float | None, expected: str) -> None:
    """A time span is read at a glance, never as thousands of seconds."""
    assert text.duration(seconds) == expected


@given(st.floats(0, 1e9))
def test_duration_always_has_a_unit(seconds: float) -> None:
    """Every span has a number and a unit."""
    assert re.match(r"[\d.]+ (ms|s|min|h|d)", text.duration(seconds))


@pytest.mark.parametrize(
    ("weight", "segments", "expected"),
    [(0, (), "no user"), (0, ("beta",), "segment beta"), (2500, (), "25 % of users"),
     (500, ("beta",), "5 % of users and segment beta"), (10_000, ("beta",), "all users")],
)
def test_audience_says_who_is_on_the_candidate(
    weight: int, segments: tuple[str, ...], expected: str
) -> None:
    """Percentage and segments become one phrase."""
    assert text.audience(weight, segments) == expected


def test_span_names_the_date_once_on_the_same_day() -> None:
    """A window within a day is short; over midnight both dates are named."""
    assert text.span(AT, AT + timedelta(seconds=30)) == (
        "2026-03-02 09:00:05 to 09:00:35 UTC (30\u00a0s)"
    )
    assert "to 2026-03-03 09:00:05" in text.span(AT, AT + timedelta(days=1))


def test_window_without_times_says_so() -> None:
    """Evidence that lacks its window is shown, not refused."""
    assert text.window(None, "nonsense") == "no window"


@given(st.text())
def test_markdown_keeps_a_table_cell_in_its_row(value: str) -> None:
    """Nothing that people write ends a cell or a row, or becomes a tag."""
    escaped = text.markdown(value)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*\|", escaped)
    assert "<" not in escaped
    assert ">" not in escaped


def test_markdown_leaves_metric_names_readable() -> None:
    """An underscore inside a word means nothing to Markdown and stays as it is."""
    assert text.markdown("error_rate _loud_ *x* [a](b)") == (
        r"error_rate \_loud\_ \*x\* \[a\](b)"
    )


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=5))
def test_markdown_table_has_one_line_for_each_row(rows: list[list[str]]) -> None:
    """A table has as many lines and columns as it was given."""
    lines = text.markdown_table(("a", "b", "c"), rows).split("\n")
    assert len(lines) == len(rows) + 2
    assert all(len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) == 4 for line in lines)


def test_metric_that_nobody_knows_is_a_plain_number() -> None:
    """Old evidence of a metric that is gone is still shown."""
    assert text.metric("gone", 1.23456) == "1.235"
    assert text.metric("memory", None) == "no data"


@pytest.mark.parametrize("value", ["pass", "fail", "inconclusive", "promoted", "rolled_back"])
def test_status_has_a_sign_beside_its_word(value: str) -> None:
    """Nothing is told by colour alone."""
    sign, word = text.status(value).split(" ", 1)
    assert not sign.isalnum()
    assert word
