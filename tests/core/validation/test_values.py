"""When two stored values are the same: every rule by its own examples."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from changeover.tablediff.values import RULES, Kind, are_same, common_kind, shown

DOCS = Path(__file__).parents[3] / "docs" / "validation.md"
SAME = [(kind, *pair) for kind, rule in RULES.items() for pair in rule.same]
OTHER = [(kind, *pair) for kind, rule in RULES.items() for pair in rule.other]


def short(value: object) -> str:
    """Return an example's name in the list of tests."""
    return ascii(value)[:25]


@pytest.mark.parametrize(("kind", "one", "other"), SAME, ids=short)
def test_values_that_are_the_same(kind: Kind, one: Any, other: Any) -> None:
    """However they are written, and whichever side has which."""
    assert are_same(kind, one, other)
    assert are_same(kind, other, one)


@pytest.mark.parametrize(("kind", "one", "other"), OTHER, ids=short)
def test_values_that_differ(kind: Kind, one: Any, other: Any) -> None:
    """However alike they look."""
    assert not are_same(kind, one, other)
    assert not are_same(kind, other, one)


@pytest.mark.parametrize("kind", Kind)
def test_null_is_only_null(kind: Kind) -> None:
    """Not the empty text, not zero, not JSON's null."""
    assert are_same(kind, None, None)
    assert not any(are_same(kind, None, each) for each in ("", 0, "null", b"", False))


@pytest.mark.parametrize(("one", "other"), list(product(Kind, Kind)))
def test_every_pair_of_kinds_has_one_rule(one: Kind, other: Kind) -> None:
    """It is the same whichever side is which, and a kind's own where both have it."""
    assert common_kind(one, other) is common_kind(other, one)
    assert common_kind(one, one) is one


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(),
    st.datetimes().map(str), st.uuids().map(str),
    st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))


@example(Kind.FLOAT, Decimal("sNaN"), 1.0, "NaN")
@given(st.sampled_from(Kind), VALUES, VALUES, VALUES)
def test_rules_are_total_and_hold_both_ways(kind: Kind, one: Any, two: Any, three: Any) -> None:
    """No value ends a comparison; the same as the same is the same."""
    assert are_same(kind, one, one)
    assert are_same(kind, one, two) == are_same(kind, two, one)
    if are_same(kind, one, two) and are_same(kind, two, three):
        assert are_same(kind, one, three)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(-20, 20))
def test_numbers_are_exact(number: Decimal, zeros: int) -> None:
    """Trailing zeros and exponents change nothing; the last digit does."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, (*digits, *[0] * abs(zeros)), exponent - abs(zeros)))
    assert are_same(Kind.NUMBER, number, longer)
    more = Decimal((sign, (*digits, *[0] * abs(zeros), 1), exponent - abs(zeros) - 1))
    assert not are_same(Kind.NUMBER, number, more)


@given(st.binary())
def test_text_that_is_no_utf_8_is_compared_by_its_bytes(data: bytes) -> None:
    """And shown as far as it can be, by what every database and page takes."""
    text = data.decode("utf-8", "surrogateescape")
    assert are_same(Kind.TEXT, text, data.decode("utf-8", "surrogateescape"))
    shown(text).encode()


@pytest.mark.parametrize("kind", Kind)
def test_every_rule_is_in_the_docs(kind: Kind) -> None:
    """A person can look up what counts as the same."""
    assert f"| {kind} | {RULES[kind].means} |" in DOCS.read_text()
