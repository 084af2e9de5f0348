"""Expressions of segments and routes: what they may say, and that no text can stall a match."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.route_matching import Request, route_of
from changeover.plan.portable import bounded, matches, portable
from changeover.plan.routes import RouteSpec
from changeover.plan.segments import SegmentSpec, is_in

STALLING = ["(a+)+b", "(a|a)*b", "(a*)*b", "(a|aa)+b", "(.*a){20}b", "(a?){50}a{50}b"]
"""Each takes Python's own `re` longer than anybody waits, with fifty signs or fewer."""


@pytest.mark.parametrize("expression", STALLING)
def test_no_text_stalls_a_match(expression: str) -> None:
    """A path or a value of 50,000 signs is answered at once, by segments and by routes."""
    text = "a" * 50_000
    assert not matches(portable(expression), text)
    assert matches(expression, "a" * 60 + "b")
    segment = SegmentSpec(header="x-cohort", regex=expression)
    assert (is_in(segment, [text]), is_in(segment, ["a" * 60 + "b"])) == (False, True)
    route = RouteSpec.model_validate({"name": "r", "path": {"regex": f"/{expression}"}})
    assert route_of([route], Request(f"/{text}")) is None
    assert route_of([route], Request("/" + "a" * 60 + "b?c=d")) is route


@pytest.mark.parametrize(("expression", "told"), [
    ("(", "is not a regular expression"),
    ("a{99999999999}", "is not a regular expression"),
    ("(.{0,900})(.{0,900})", "is too large: 16,"),
    ("(a{900}){900}", "is not for a gateway: invalid repetition size"),
])
def test_what_cannot_be_matched_quickly_is_refused(expression: str, told: str) -> None:
    """At the plan's check, with the reason, and not by the gateway later."""
    with pytest.raises(ValueError, match=re.escape(told)):
        bounded(expression)


def test_a_text_that_is_not_utf8_matches_nothing() -> None:
    """As in the gateway, whose expressions are of UTF-8."""
    assert not matches(".*", "caf\udce9")
    assert matches(".*", "café")


PARTS = st.sampled_from(
    ["a", "b", ".", "[a-c]", "[^a]", r"\d", r"\w", r"\.", "(?:a|bc)", "(ab)", "é"])
COUNTS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,3}", "+?"])


@given(pieces=st.lists(st.tuples(PARTS, COUNTS), min_size=1, max_size=4),
       text=st.text(st.sampled_from("abc.é1_-\n"), max_size=8))
def test_it_means_what_python_says(pieces: list[tuple[str, str]], text: str) -> None:
    """Those who write a plan know Python's expressions."""
    expression = portable("".join(part + count for part, count in pieces))
    assert matches(expression, text) is bool(re.compile(expression, re.ASCII).fullmatch(text))
