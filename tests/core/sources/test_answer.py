"""What a source says becomes a number, or the reason why it is none."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.plan.sources import JsonMetric
from changeover.sources.answer import Answer, NoAnswer, read

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def metric(**changes: Any) -> JsonMetric:
    return JsonMetric.model_validate({"path": "/x", "value": "$.a", **changes})


def value(found: object, **changes: Any) -> float:
    return read(Answer(found), metric(**changes), now=NOW, max_age=MINUTE).value


def problem(answer: Answer, **changes: Any) -> str:
    with pytest.raises(NoAnswer) as none:
        read(answer, metric(**changes), now=NOW, max_age=MINUTE)
    return none.value.problem


@pytest.mark.parametrize(("found", "number"), [
    (3, 3.0), (0, 0.0), (-1.5, -1.5), ("0.25", 0.25), (" 1e-3 ", 0.001), (Decimal("0.1"), 0.1),
    ("+.5", 0.5), ("7.", 7.0)])
def test_numbers_are_read_from_every_kind_of_answer(found: object, number: float) -> None:
    """Prometheus writes numbers as text, databases as decimals."""
    assert value(found) == number


@pytest.mark.parametrize(("found", "said"), [
    (None, "is empty"), ("", "is empty"), ("  ", "is empty"),
    ("NaN", "is NaN"), (math.nan, "is NaN"), (Decimal("NaN"), "is NaN"),
    ("+Inf", "is infinite"), (-math.inf, "is infinite"), (10**400, "beyond all numbers"),
    (True, "is no number: True"), ("many", "is no number: 'many'"), ([1], "is no number: [1]"),
    ({"a": 1}, "is no number"), ("1_000", "is no number"), ("0x1f", "is no number"),
    ("x" * 500, "…"),
])
def test_what_is_no_finite_number_is_no_value(found: object, said: str) -> None:
    """A check that has no number must neither pass nor fail."""
    assert said in problem(Answer(found))


@pytest.mark.parametrize(("found", "unit", "said"), [
    (1.2, "share", "1.2 is no share: shares are 0 to 1"), (-0.1, "share", "is no share"),
    (-1, "duration", "is no duration"), (-1, "size", "is no size")])
def test_a_value_outside_its_unit_is_no_value(found: float, unit: str, said: str) -> None:
    """12 for 12 % would fail every gate."""
    assert said in problem(Answer(found), unit=unit)


def test_factor_comes_before_the_unit() -> None:
    """Milliseconds become seconds, percentages shares."""
    assert value(250, unit="duration", factor=0.001) == 0.25
    assert value(12, unit="share", factor=0.01) == 0.12
    assert "infinite" in problem(Answer(1e300), factor=1e300)


def test_samples_are_counted_where_the_plan_asks() -> None:
    """Otherwise the value is one sample."""
    assert read(Answer(1), metric(), now=NOW, max_age=MINUTE).samples == 1
    counted = metric(samples="$.n")
    assert read(Answer(1, "12.7"), counted, now=NOW, max_age=MINUTE).samples == 12
    assert "the number of samples is empty" in problem(Answer(1, None), samples="$.n")
    assert "negative" in problem(Answer(1, -3), samples="$.n")


@pytest.mark.parametrize("at", [
    NOW - MINUTE, (NOW - MINUTE).isoformat(), (NOW - MINUTE).timestamp(),
    str((NOW - MINUTE).timestamp()), (NOW - MINUTE).replace(tzinfo=None), "2026-03-01T11:59:00Z",
    (NOW - MINUTE).astimezone(timezone(timedelta(hours=5)))])
def test_a_value_of_a_minute_ago_is_just_fresh(at: object) -> None:
    """In whatever form the time of measurement is written."""
    found = read(Answer(1, None, at), metric(at="$.t"), now=NOW, max_age=MINUTE)
    assert found.at == NOW - MINUTE


@pytest.mark.parametrize(("at", "said"), [
    (NOW - MINUTE - timedelta(seconds=1), "stale: it is of 11:58:59 UTC, 61 s ago"),
    (None, "is empty"), ("yesterday", "is no time"), (NOW.date(), "only a day"),
    (1e30, "is no time"), (NOW + MINUTE, "yet to come"), ("nan", "NaN")])
def test_what_is_old_or_of_no_time_is_no_value(at: object, said: str) -> None:
    """A value of yesterday says nothing about the candidate of today."""
    assert said in problem(Answer(1, None, at), at="$.t")


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals()
       | st.lists(st.integers()) | st.datetimes())
def test_whatever_a_source_says_is_a_finite_number_or_a_reason(found: object) -> None:
    """Never another exception, never NaN."""
    try:
        assert math.isfinite(value(found))
    except NoAnswer as none:
        assert none.problem
