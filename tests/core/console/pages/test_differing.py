"""What the comparison's page says of places, coverage, and of having nothing to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from changeover.console.pages.differing import (
    cards,
    counted,
    coverage_rows,
    is_new,
    notice,
    verdict_of,
)
from changeover.domain.comparisons import Place
from changeover.domain.routing import Mode, RoutingState
from changeover.plan.comparing import ComparisonSpec
from changeover.plan.load import parse_plan
from changeover.shadow.findings import Finding, judged
from tests.core.plan.test_load import GOOD

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=3)


def place(field: str, kind: str = "changed", *values: str | None, diverged: int = 60,
          ignored: int = 0) -> Place:
    """Return a place at which only the candidate differs."""
    sides = dict(zip(("baseline", "candidate"), values, strict=True)) if values else {}
    examples = [{"request": "GET /", "path": field, "kind": kind, **sides}] if sides else []
    return Place(
        field, diverged, ignored, diverged, 0, 0, {kind: diverged} if diverged else {}, examples,
        SINCE, NOW)


def finding(one: Place) -> Finding:
    """Return what is found at a place in 1000 comparisons."""
    coverage = {"compared": 1000, "paired": 1000}
    return judged([one], coverage, [], []).findings[0]


@pytest.mark.parametrize(("one", "rule"), [
    (place("$.total", "changed", "12.5", "12.51"), {"numeric": {"$.total": {"relative": 0.01}}}),
    (place("$.items[*]", "order"), {"arrays": {"$.items[*]": {"as": "set"}}}),
    (place("$.at", "changed", '"10:05"', '"10:06"'), {"ignore": ["$.at"]}),
    (place("$['a: {b}']", "changed", '"x y"', '"x  y"'),
     {"text": {"$['a: {b}']": {"ignore_whitespace": True}}}),
    (place("$.n", "changed", "null", None),
     {"rules": [{"path": "$.n", "null_equals_missing": True}]})])
def test_a_suggested_rule_is_a_part_of_a_plan_as_it_stands(one: Place, rule: dict) -> None:
    """What is copied is YAML that a plan takes, whatever characters the place has."""
    document = yaml.safe_load(finding(one).as_yaml)
    assert document == {"comparison": rule}
    assert ComparisonSpec.model_validate(document["comparison"])
    assert cards([finding(one)], SINCE, NOW)[0]["yaml"]


# reading YAML is slow
@settings(max_examples=50)
@example("\x85\u2028\ud800\ufeff'\"\\: {}]\n# x")
@given(st.text(min_size=1, max_size=60))
def test_no_name_of_a_field_breaks_out_of_the_rule(name: str) -> None:
    """Names come from systems: the rule that is copied still names exactly this place."""
    field = f"$['{name}']"
    text = finding(place(field, "order")).as_yaml
    # as people paste it: into a file, as UTF-8
    document = yaml.safe_load(text.encode())
    assert list(document) == ["comparison"]
    assert list(document["comparison"]) == ["arrays"]
    assert list(document["comparison"]["arrays"]) == [field]


def test_where_no_rule_helps_none_is_offered() -> None:
    assert finding(place("status", "changed", "200", "500")).as_yaml == ""
    assert finding(place("$.name", "changed", '"a"', '"b"')).as_yaml == ""


def test_the_verdict_is_one_word_and_what_rules_hide_is_ignored() -> None:
    """A place that a rule hides entirely decides nothing, however often it differs."""
    hidden = finding(place("$.eta", diverged=0, ignored=40))
    assert verdict_of(hidden)[0] == "ignored by a rule"
    seen = finding(place("$.total", "changed", "1", "2"))
    assert verdict_of(seen) == ("firm regression", "regression")
    assert counted([seen, hidden, seen]) == [("firm regression", 2), ("ignored by a rule", 1)]


def test_an_example_that_lacks_something_is_shown_with_what_it_has() -> None:
    """One that another version has written must not take the page away."""
    one = place("$.name", "changed", '"a"', '"b"')
    del one.examples[0]["request"]
    (card,) = cards([finding(one)], SINCE, NOW)
    assert card["examples"] == [
        {"request": "", "path": "$.name", "baseline": '"a"', "candidate": '"b"'}]


@pytest.mark.parametrize(("first_seen", "began", "new"), [
    (NOW - timedelta(hours=3), SINCE, True), (NOW - timedelta(hours=25), SINCE, False),
    # the first day: all is new, so that nothing is marked
    (NOW - timedelta(hours=3), NOW - timedelta(hours=4), False),
    (NOW - timedelta(hours=3), None, False)])
def test_new_since_yesterday_needs_a_yesterday(
    first_seen: datetime, began: datetime | None, new: bool
) -> None:
    assert is_new(first_seen, began, NOW) is new


def test_coverage_says_what_was_counted_and_then_what_was_left_out_by_how_often() -> None:
    """Shares are of what was copied; without any copy there is no share."""
    rows = coverage_rows({"seen": 200, "compared": 150, "matched": 120,
                          "dropped: queue full": 10, "dropped: host busy": 40})
    assert rows[0] == ("requests copied by the gateway", 200, 1.0)
    assert rows[1][1:] == (150, 0.75)
    assert [row[0] for row in rows[-2:]] == ["dropped: host busy", "dropped: queue full"]
    assert {row[2] for row in coverage_rows({})} == {None}


SHADOW = parse_plan(f"{GOOD}shadow: {{sample: 10%}}\n", "test")


@pytest.mark.parametrize(("plan", "state", "coverage", "said"), [
    (parse_plan(GOOD, "test"), RoutingState("shop"), {}, "The plan has no `shadow`"),
    (SHADOW, RoutingState("shop"), {"compared": 5}, "now is baseline only. The last request"),
    (SHADOW, RoutingState("shop", Mode.GRADUAL, shadow_sample=1000, maintenance=True), {},
     "now is maintenance"),
    (SHADOW, RoutingState("shop", Mode.GRADUAL, shadow_sample=1000), {"seen": 7},
     "10 % of the requests are copied; 7 were seen so far")])
def test_a_page_that_has_nothing_to_show_says_why(
    plan: object, state: RoutingState, coverage: dict, said: str
) -> None:
    found = notice(plan, state, coverage, NOW if coverage.get("compared") else None)  # type: ignore[arg-type]
    assert found is not None
    assert said in found.text


def test_while_answers_are_compared_nothing_stands_above_them() -> None:
    state = RoutingState("shop", Mode.GRADUAL, shadow_sample=1000)
    assert notice(SHADOW, state, {"compared": 1}, NOW) is None
