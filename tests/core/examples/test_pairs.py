"""The pairs of examples/pairs/: their plans, their lists of differences, how these are judged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from changeover.plan.load import load_plan
from examples.pairs import differences, pair
from examples.pairs.differences import Found, Listed, compared

DOCUMENT = (Path(__file__).parents[3] / "docs" / "pairs.md").read_text()
TYPE = Listed(
    "* *.html", "headers.content-type", "charset", "text/html", "text/html; charset=utf-8")
PAGE = Listed("GET /missing*", "/html/*", "another page")


@pytest.mark.parametrize("name", pair.names())
def test_every_pair_can_be_read_and_is_described(name: str) -> None:
    """Its plan is allowed, its differences have reasons, and docs/pairs.md says what it is."""
    found = pair.load(name)
    assert found.name == name
    assert load_plan(found.folder / "plan.yaml").migration == name
    listed = differences.read(found.folder / "differences.yaml")
    assert listed and all(each.why for each in listed)
    assert f"examples.pairs {name}" in DOCUMENT
    assert found.about in DOCUMENT


def test_just_the_listed_differences_are_no_problem() -> None:
    """Each was found, and nothing else."""
    found = Counter({
        Found("HEAD /a.html", "headers.content-type", "text/html", "text/html; charset=utf-8"): 2,
        Found("GET /missing-1", "/html/body/p", "", ""): 1})
    result = compared([TYPE, PAGE], found, 9)
    assert result.problem == ""
    assert list(result.counts.values()) == [2, 1]


@pytest.mark.parametrize("other", [
    Found("GET /a.html", "headers.content-type", "text/html", "text/plain"),
    Found("GET /a.css", "headers.content-type", "text/html", "text/html; charset=utf-8"),
    Found("GET /a.html", "$", "", ""),
    Found("GET /missing-1", "status", "404", "500"),
    Found("GET /a.html", "answer", "", ""),
], ids=lambda found: found.text)
def test_any_other_difference_is_a_problem(other: Found) -> None:
    """Another value, another kind of request, or another place is not what was listed."""
    result = compared([TYPE], Counter({other: 1}), 9)
    assert f"not listed: {other.text} (1 times)" in result.problem


def test_listed_difference_that_is_not_found_is_a_problem() -> None:
    """A list that says more than is true is no list of the true differences."""
    assert compared([PAGE], Counter(), 9).problem == "listed and not found: GET /missing* /html/*"


def test_brackets_of_a_place_are_no_pattern() -> None:
    """`[*]` in a place stands for any item of a list, and for nothing else here."""
    items, found = (kind("GET /a", "$.items[*].id", "", "") for kind in (Listed, Found))
    assert compared([items], Counter({found: 1}), 1).problem == ""
