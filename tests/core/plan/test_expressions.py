"""Expressions of comparison rules: what they may say, and that no answer can stall a comparison."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.plan.expressions import replaced
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD, problems
from tests.core.plan.test_portable import STALLING


def _rules(pattern: str) -> str:
    quoted = pattern.replace("'", "''")
    return f"{GOOD}comparison: {{rules: [{{path: $.a, replace: [{{pattern: '{quoted}'}}]}}]}}\n"


@pytest.mark.parametrize(("pattern", "found", "instead"), [
    (r"(?<=total: )\d+", "'(?<=' at sign 1: look-around", r"by: '\1N'"),
    ("a(?!b)", "'(?!' at sign 2: look-around", "match what stands around it in a group"),
    (r"(a)b\1", r"'\\1' at sign 5: a back reference", "list what may stand there"),
    ("(?P<x>a)(?P=x)", "'(?P=' at sign 9: a back reference", "(?:aa|bb)"),
    ("(?>a)", "'(?>' at sign 1: never gives back", "(?:…)"),
    ("a++", "'++' at sign 2: never gives back", "(?:…)"),
    ("(a)?(?(1)b|c)", "'(?(' at sign 5: a condition", "(?:…|…)"),
    ("a(?#b)", "'(?#' at sign 2: a comment", "leave it out"),
    ("(?ia)b", "'(?ia' at sign 1: a flag", "(?i)"),
    (r"a\Z", r"'\\Z' at sign 2: not known", "write $"),
    (r"\u00e9", r"'\\u' at sign 1: a sign by its number", "write the sign itself"),
    ("a{,3}", "'{,' at sign 2: read as these signs", "{0,"),
    ("a{2000}", "'{2000}' at sign 2: more often", "1000 is the limit"),
    ("(.{0,900})(.{0,900})", "is too large: 16,", "use smaller numbers"),
])
def test_what_re2_does_not_know_is_said_with_its_place_and_what_to_write(
    pattern: str, found: str, instead: str
) -> None:
    """At the plan's check; before, Python's own expressions knew these."""
    (problem,) = problems(_rules(pattern))
    assert "line 17, comparison.rules[0].replace[0].pattern" in problem
    assert found in problem and instead in problem


def test_rules_of_routes_are_checked_too() -> None:
    """They are rules as all others."""
    (problem,) = problems(
        GOOD + "routes: [{name: a, path: {prefix: /a}, move: never, comparison: {text: {"
               "$.a: {replace: [{pattern: '(?=x)'}]}}}}]\n")
    assert "routes[0].comparison.text.$.a.replace[0].pattern" in problem


@pytest.mark.parametrize("pattern", [
    r"\(\?=", r"[(?=]", r"[])(?=]+", r"\\1", r"\bid-\d{4}\b", "(?i)abc", "(?P<y>a)b", "a|b", "é+"])
def test_what_both_know_is_fine(pattern: str) -> None:
    """Also where the same signs mean nothing: escaped, or in a class."""
    assert parse_plan(_rules(pattern), "own.yaml").comparison is not None


@pytest.mark.parametrize("pattern", STALLING)
def test_no_answer_stalls_a_comparison(pattern: str) -> None:
    """A text of 50,000 signs is compared at once."""
    text = "a" * 50_000
    assert replaced(text, f"{pattern}!", "") == text


def test_stored_plan_of_before_goes_on() -> None:
    """With what Python made of it, until the plan is checked again."""
    assert replaced("total: 12 of 13", r"(?<=total: )\d+", "N") == "total: N of 13"


@pytest.mark.parametrize(("text", "pattern", "by", "expected"), [
    ("a1b22", r"\d+", "#", "a#b#"),
    ("2026-11-30", r"(\d+)-(?P<m>\d+)", r"\g<m>/\1", "11/2026-30"),
    ("abc", "b", r"\\\n\052\0é", "a\\\n*\0éc"),
    ("abc", "(x)?b", r"[\1]", "a[]c"),
    ("é1\ud800 2", r"\d", "#", "é#\ud800 #"),
    ("é", "x*", "-", "-é-"),
    ("A a", "(?i)a", "b", "b b"),
    ("111 1", r"\b", "#", "#111# #1#"),
])
def test_replacement_is_what_it_was(text: str, pattern: str, by: str, expected: str) -> None:
    """Groups by number and name, escapes, halves of surrogate pairs, empty matches."""
    assert replaced(text, pattern, by) == expected == re.sub(pattern, by, text)


PARTS = st.sampled_from(
    ["a", "b", ".", "[a-c]", "[^a]", r"\d", r"\w", r"\b", r"\.", "(?:a|bc)", "(ab)", "é", "^"])
COUNTS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,3}", "+?"])


@given(pieces=st.lists(st.tuples(PARTS, COUNTS), min_size=1, max_size=4),
       text=st.text(st.sampled_from("abc.é1_- "), max_size=8))
def test_it_means_what_python_says(pieces: list[tuple[str, str]], text: str) -> None:
    """But for letters and digits beyond ASCII, which `\\w`, `\\d`, `\\s` and `\\b` do not mean."""
    pattern = "".join(part + (count if part not in ("^", r"\b") else "") for part, count in pieces)
    assert replaced(text, pattern, "#") == re.compile(pattern, re.ASCII).sub("#", text)
