"""Rules in words: which hold at a place, and who says so."""

from __future__ import annotations

from datetime import date

import pytest

from changeover.plan.comparing import ComparisonSpec
from changeover.shadow.rules_in_words import at_place, rules_in_words

TODAY = date(2026, 11, 24)


def told(place: str, **spec: object) -> tuple[str, ...]:
    """Return what is told of the rules at a place."""
    rules = rules_in_words(ComparisonSpec.model_validate(spec), today=TODAY)
    return at_place(rules, place)


@pytest.mark.parametrize(("pattern", "place", "holds"), [
    ("$.a", "$.a", True), ("$.a", "$.a.b", True), ("$.a", "$.b", False), ("$.a.b", "$.a", False),
    ("$..id", "$.x[*].id", True), ("$..id", "$.x[*].name", False), ("$.x[0]", "$.x[*].id", True),
    ("$.x[*].id", "$.x[*].id", True), ("$.*", "$['a b']", True), ("$", "$.a", True),
    ("$.a", "status", False), ("$.a", "answer", False), ("/o/i[2]/@id", "/o/i/@id", True),
    ("//@id", "/o/i/@id", True), ("//i", "/o/{u}i/n", True), ("//{u}n", "/o/{u}i/n", True),
    ("/o/*", "/o/i", True), ("/o/@*", "/o/i", False), ("$..i", "/o/i", False), ("/", "/o", True),
    ("$", "/o/i", True), ("/o", "$.o", False), ("//i", "$.i", False),
])
def test_ignored_places_are_those_below_too(pattern: str, place: str, holds: bool) -> None:
    """As the comparison sees it."""
    assert told(place, ignore=[pattern]) == ((f"ignore: {pattern}",) if holds else ())


def test_tolerances_hold_at_their_place_only() -> None:
    """What is below has rules of its own."""
    assert told("$.a", numeric={"$.a": {"absolute": 1}}) == ("numeric: $.a",)
    assert told("$.a.b", numeric={"$.a": {"absolute": 1}}) == ()


def test_owner_reason_and_day_are_told() -> None:
    """In the long form, which has them; an expired rule is none."""
    rule = {"path": "$.eta", "within": "2s", "owner": "ana", "reason": "clocks differ"}
    assert told("$.eta", rules=[{**rule, "expires": "2027-01-31"}]) == (
        "within: $.eta (ana: clocks differ, until 2027-01-31)",)
    assert told("$.eta", rules=[{"path": "$.eta", "ignore": True}]) == ("ignore: $.eta",)
    assert told("$.eta", rules=[{**rule, "expires": "2026-11-24"}]) == ()


def test_no_rules_are_no_words() -> None:
    """Of a plan without comparison rules."""
    assert at_place(rules_in_words(None, today=TODAY), "$.a") == ()
