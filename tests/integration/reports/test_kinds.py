"""Every kind of report of a real store: all forms, by its schema, and as the command writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.comparisons import Compared, Example
from changeover.domain.health import HealthResult, Status
from changeover.domain.suites import SuiteCheck, SuiteVerdict
from changeover.domain.verdict import Verdict
from changeover.errors import InvalidInput
from changeover.store import comparisons, health_results, samples, validations
from reports.kind import Ask, Report
from reports.kinds import KINDS
from reports.lessons.collecting import Measured
from reports.schema import schema_of
from tests.core.reports.hand_made import NASTY
from tests.support.cutover_story import CutoverStory, plan
from tests.support.ready_store import ready_store

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
OUTSIDE = re.compile(r"""(?:src|href)=["'](?!#)|url\((?!["']?[#d])|<script|@import""")
"""What a page would load, or run."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CutoverStory]:
    """A cutover that was rolled back, with comparisons, health checks and a suite."""
    store = ready_store(f"sqlite:///{tmp_path_factory.mktemp('told') / 'store.db'}")
    story = CutoverStory(store, plan(shadow={"sample": 10})).rolled_back(failing="restore")
    batch = []
    for number in range(90):
        found = {"$.total": Example("GET /orders", "$.total", "changed", '"1"', f'"{NASTY}"')}
        batch.append(Compared(
            at=story.now - timedelta(seconds=number), request="GET /orders", request_id=f"{number}",
            similarity=0.9, is_match=bool(number % 3), baseline_seconds=0.01,
            candidate_seconds=0.02, found={} if number % 3 else found, noisy=frozenset()))
    comparisons.write(store, story.migration, batch, {"seen": 90})
    for name, status in (("gateway", Status.HEALTHY), ("candidate", Status.CRITICAL)):
        health_results.save(store, [HealthResult(
            story.migration, story.now - timedelta(minutes=5), name, status, NASTY)])
    run = validations.begin(store, story.migration, "staging", key="k", now=story.now)
    validations.save_check(store, SuiteCheck(
        run.id, 0, "health", "http", Verdict.FAIL, NASTY, {"status": 500}, story.now, 0.2))
    validations.finish(
        store, run.id, verdict=SuiteVerdict.FAIL, actor="validation/main", now=story.now)
    yield story
    store.close()


def built(story: CutoverStory, kind: str, **asked: Any) -> Report:
    """Return a report as of a moment after the story."""
    return KINDS[kind].build(story.store, story.plan, Ask(story.now, **asked))


def structure(schema: Any) -> Any:
    """Return a schema without its descriptions: another word in them breaks no program."""
    if isinstance(schema, dict):
        kept = {name: value for name, value in schema.items() if name != "description"}
        return {name: structure(value) for name, value in kept.items()}
    return [structure(each) for each in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("kind", KINDS)
def test_report_of_every_kind_stands_alone_in_three_forms(told: CutoverStory, kind: str) -> None:
    """A page loads nothing; what people and systems wrote is text in each form; JSON is one."""
    report = built(told, kind)
    page = report.html()
    assert page.startswith("<!doctype html>")
    assert not OUTSIDE.search(page), OUTSIDE.search(page)
    assert "alert(1)</script>" not in page
    assert "<script>" not in report.markdown()
    assert "very-secret" not in page + report.markdown() + report.json()


@pytest.mark.parametrize("kind", KINDS)
def test_json_of_every_kind_is_what_its_published_schema_says(
    told: CutoverStory, kind: str
) -> None:
    """Programs can rely on the schema in docs/schemas, which is the one that the command prints."""
    schema = schema_of(KINDS[kind])
    published = json.loads((SCHEMAS / f"report-{kind}.schema.json").read_text())
    how = f"changeover report {kind} --schema > docs/schemas/report-{kind}.schema.json"
    assert structure(published) == structure(schema), f"write it anew: {how}"
    checker = jsonschema.FormatChecker()
    validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
    content = json.loads(built(told, kind).json())
    validator.validate(content)
    # the schema says something: a key that is missing is noticed
    content.pop("migration")
    assert not validator.is_valid(content)


def test_rollback_report_names_what_fired_and_how_fast_the_gateway_was(
    told: CutoverStory,
) -> None:
    """The firing that began the rollback is its cause, with its time to the gateway."""
    data = built(told, "rollback").data
    assert [each.trigger for each in data.firings] == ["errors"]
    assert data.seconds_to_gateway == pytest.approx(0.29)


def test_day_says_what_changed_waits_is_ill_and_differs(told: CutoverStory) -> None:
    """What a person wants to know in the morning stands in the summary."""
    day = built(told, "daily").data
    assert [each.kind for each in day.changes].count("rollback.started") == 1
    assert day.more_changes > 0
    assert next(each.what for each in day.waiting) == "restore: by hand"
    assert [(each.check, each.not_good) for each in day.health] == [
        ("candidate", 1), ("gateway", 0)]
    assert [each.place.field for each in day.new_differences] == ["$.total"]


def test_day_counts_only_its_own_hours(told: CutoverStory) -> None:
    """What lies before the time that was asked for is in the figures before it."""
    everything = built(told, "daily").data
    seconds = built(told, "daily", hours=20 / 3600).data
    requests = sum(each.window.requests for each in seconds.figures)
    # whole seconds only: the time begins and ends within one
    assert requests in (19 * told.rate, 20 * told.rate)
    assert len(seconds.changes) < len(everything.changes)


def test_lessons_say_what_fired_and_where_the_time_went(told: CutoverStory) -> None:
    """Each stage's parts add up, and what fired is the first advice."""
    lessons = built(told, "lessons").data
    for stage in lessons.stages:
        parts = (stage.soak_seconds, stage.people_seconds, stage.paused_seconds,
                 stage.other_seconds)
        assert sum(parts) == pytest.approx(stage.seconds)
    assert lessons.stages[1].people_seconds == 4
    assert (lessons.near[0].name, lessons.near[0].fired) == ("errors", True)
    assert lessons.advice[0].rule == "fired"


def test_long_cutover_did_not_nearly_fire_by_what_was_before_it(told: CutoverStory) -> None:
    """Its first hour is read by the hour, and may hold the end of a cutover that went wrong."""
    start = clock.from_timestamp(1_700_000_000 // 3600 * 3600) + timedelta(minutes=40)
    for minutes, failed in ((-30, 900), (5, 1)):
        at = int((start + timedelta(minutes=minutes)).timestamp())
        samples.write(told.store, told.migration, [Sample(
            "candidate", at, 60, requests=1000, user_errors=failed, errors={"status_5xx": failed})])
    (errors,) = (each for each in told.plan.triggers if each.name == "errors")
    measured = Measured(told.store, told.plan, start, start + timedelta(days=7))
    seen = measured.of(errors)
    assert seen and max(each.value for each in seen) == pytest.approx(0.001)


def test_rollback_is_told_with_the_figures_around_it(told: CutoverStory) -> None:
    """Before and after, the time to the gateway, and what is left to do."""
    report = built(told, "rollback").data
    assert report.seconds_to_gateway == pytest.approx(0.29)
    assert report.before[1].window.errors["saved"] > 0
    assert report.after[0].window.requests > 0
    assert report.rollback.must_do[0] == "restore: by hand"


def test_comparison_has_similarity_over_time_and_both_values(told: CutoverStory) -> None:
    """Points add up to what was compared, and examples show both sides."""
    report = built(told, "comparison")
    assert sum(point.compared for point in report.data.points) == 90
    assert "Both answers side by side" in report.html()


@pytest.mark.parametrize("kind", ["rollback", "validation", "lessons"])
def test_report_of_what_never_was_is_refused_with_a_way_on(tmp_path: Path, kind: str) -> None:
    """A new migration has no rollback, no suite and no cutover to tell of."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    story = CutoverStory(store)
    with pytest.raises(InvalidInput) as refused:
        built(story, kind)
    assert refused.value.next_step
    store.close()
