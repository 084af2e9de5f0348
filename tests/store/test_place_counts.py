"""Gates of single places see whatever may have changed there, and nothing they did not measure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from sqlalchemy import func, select

from blocks.metrics_source import MetricsReader
from changeover.comparison.answers import Answer
from changeover.domain.comparisons import Compared, Example, PlaceCount
from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.shadow.judging import Answers, Asked, Judge
from changeover.store import comparisons, place_counts, plans
from changeover.store.engine import Store
from changeover.store.place_counts import DivergenceCountRow
from tests.store.test_comparisons import NOW, PLAN, compared

EXAMPLE = Example("GET /a", "$.a", "changed", "1", "2")


def watching(*paths: str) -> Plan:
    """Return the plan with a gate on each path."""
    checks = [{"metric": "divergence_rate", "path": path, "at_most": 0} for path in paths]
    return Plan.model_validate({
        **PLAN.model_dump(mode="json", by_alias=True, exclude_none=True),
        "gates": {"places": checks}, "phases": [
            {"phase": "gradual", "gates": ["places"], "stages": [{"percent": 50, "soak": 0}]}],
    })


def counted(store: Store, path: str, *, seconds: int = 60) -> PlaceCount:
    """Return what a gate on a path sees."""
    end = NOW + timedelta(seconds=seconds)
    return place_counts.count(store, "shop", path, start=NOW, end=end)


def differing(n: int, *places: str) -> Compared:
    """Return a comparison that differs at places."""
    return replace(compared(n), is_match=not places, found=dict.fromkeys(places, EXAMPLE))


@pytest.fixture
def shop(store: Store) -> Store:
    """A store whose plan has gates on three paths."""
    plans.register(store, watching("$.order.total", "$.order", "$.items[*].price"), source="test",
                   now=NOW)
    return store


@pytest.mark.parametrize(("place", "path", "diverged"), [
    ("$.order.total", "$.order.total", 1),
    ("$.order", "$.order.total", 1),  # the whole order is gone, or of another type
    ("$", "$.order.total", 1),
    ("answer", "$.order.total", 1),  # no answer has no total either
    ("$.order.total", "$.order", 1),  # another total is another order
    ("$.order.other", "$.order.total", 0),
    ("$.orders.total", "$.order.total", 0),
    ("status", "$.order.total", 0),
    ("headers.etag", "$.order.total", 0),
    ("$.items[*]", "$.items[*].price", 1),
    ("$.items[*].price", "$.items[*].price", 1),
    ("$.items[*].name", "$.items[*].price", 0),
])
def test_path_counts_what_differs_there_above_and_below(
    shop: Store, place: str, path: str, diverged: int
) -> None:
    """Whoever loses the order has lost its total: a gate on the total sees it."""
    comparisons.write(shop, "shop", [differing(0, place), differing(1)], {})
    assert counted(shop, path) == PlaceCount(2, diverged)


def test_comparison_counts_once_however_many_places_differ(shop: Store) -> None:
    """The rate is a share of comparisons: it never exceeds one."""
    comparisons.write(shop, "shop", [differing(0, "$.order", "$.order.total", "$", "answer")], {})
    assert counted(shop, "$.order.total") == PlaceCount(1, 1)


def test_answers_with_more_divergences_than_are_told_differ_everywhere(shop: Store) -> None:
    """The limit must not hide the one place that a gate names."""
    many = {f"k{number}": number for number in range(12_000)}
    headers = {"content-type": "application/json"}
    baseline, candidate = (
        Answer(200, headers, orjson.dumps({
            **{key: value + side for key, value in many.items()}, "order": {"total": side}}))
        for side in (0, 1))
    judge = Judge.of(PLAN.shadow, None, today=NOW.date())
    one = judge.judge(
        Asked(NOW, "GET /a", "1"), Answers(baseline, candidate), saves_answers=False)
    assert "$.order.total" not in one.found
    comparisons.write(shop, "shop", [one], {})
    assert counted(shop, "$.order.total") == PlaceCount(1, 1)


def test_counts_are_of_steps_of_ten_seconds(shop: Store) -> None:
    """A window begins and ends with one."""
    comparisons.write(shop, "shop", [differing(n, "$.order") for n in (0, 11, 25)], {})
    assert counted(shop, "$.order", seconds=20) == PlaceCount(2, 2)


def test_place_that_was_not_counted_is_not_measured(shop: Store) -> None:
    """A gate that comes later finds nothing of the time before, rather than no divergence."""
    comparisons.write(shop, "shop", [differing(0, "$.late")], {})
    plans.register(shop, watching("$.late"), source="test", now=NOW)
    reader, end = MetricsReader(shop, "shop"), NOW + timedelta(minutes=1)
    window = reader.window("candidate", start=NOW, end=end, place="$.late")
    assert window.measure("divergence_rate").value is None
    comparisons.write(shop, "shop", [differing(2, "$.late"), differing(3)], {})
    measured = reader.window("candidate", start=NOW, end=end, place="$.late").measure(
        "divergence_rate")
    assert (measured.value, measured.samples) == (0.5, 2)


def test_counts_do_not_grow_with_the_keys_of_documents(shop: Store) -> None:
    """Only the paths of gates and triggers are counted, whatever differs."""
    found = {f"$.k{number}": EXAMPLE for number in range(5_000)}
    comparisons.write(shop, "shop", [replace(compared(0), found=found)], {})
    with shop.read() as session:
        assert session.scalar(select(func.count()).select_from(DivergenceCountRow)) == 3


def test_scoring_again_leaves_what_gates_read(shop: Store) -> None:
    """Only some pairs are kept: a gate over those alone would open."""
    judge = Judge.of(PLAN.shadow, None, today=NOW.date())
    headers = {"content-type": "application/json"}
    comparisons.write(shop, "shop", [
        judge.judge(Asked(NOW, "GET /a", str(n)), saves_answers=n < 2, answers=Answers(
            Answer(200, headers, b'{"order":{"total":1}}'),
            Answer(200, headers, b'{"order":{"total":2}}')))
        for n in range(10)], {})
    scores.score_again(shop, PLAN, judge)
    assert counted(shop, "$.order.total") == PlaceCount(10, 10)


def test_triggers_follow_the_same_counts(shop: Store) -> None:
    """By place and step."""
    comparisons.write(shop, "shop", [differing(0, "$.order"), differing(12)], {})
    begin = int(NOW.timestamp())
    assert place_counts.since(shop, "shop", ["$.order"], start=NOW) == {
        "$.order": {begin: PlaceCount(1, 1), begin + 10: PlaceCount(1, 0)}}


@pytest.mark.parametrize(("written", "meant"), [
    ("$['total']", "$.total"), ('$["total"]', "$.total"), ("$.items[*]['unit price']",
                                                          "$.items[*]['unit price']"), ("$", "$"),
    ("/o/item[*]/@id", "/o/item/@id"), ("/{urn:x}o/text()", "/{urn:x}o/text()"),
])
def test_paths_are_understood_however_they_are_written(written: str, meant: str) -> None:
    """They are counted in the one way in which places are written."""
    assert CheckSpec(metric="divergence_rate", path=written, at_most=0).path == meant


@pytest.mark.parametrize("path", [
    "$..total", "$.items[0].price", "$.*", "$.a.*", "//id", "/o/*", "/o/@*", "/o/i[2]",
])
def test_paths_that_are_not_one_place_are_refused(path: str) -> None:
    """A gate that could never fail is none."""
    with pytest.raises(ValueError, match="this path must name one place"):
        CheckSpec(metric="divergence_rate", path=path, at_most=0)


@pytest.mark.parametrize(("path", "place", "is_one"), [
    ("/o/i/@id", "/o/i/@id", True), ("/o/i/@id", "/o/i", True), ("/o/i", "/o/i/n", True),
    ("/o/i", "/{urn:x}o/i/n", True), ("/{urn:y}o/i", "/{urn:x}o/i", False),
    ("/o/i", "/o/j", False),
    ("/o", "$.o", False), ("$.o", "/o", False), ("$[*]", "/o", False), ("/o/i", "$", True),
])
def test_differences_in_trees_are_counted_where_the_path_says(
    shop: Store, path: str, place: str, is_one: bool
) -> None:
    """There, above it, or below it; in any namespace unless the path names one."""
    checks = [CheckSpec(metric="divergence_rate", path=path, at_most=0)]
    plan = PLAN.model_copy(update={"gates": {"trees": checks}})
    plans.register(shop, plan, source="test", now=NOW)
    comparisons.write(shop, "shop", [differing(0, place)], {})
    assert counted(shop, checks[0].path or "").diverged == is_one
