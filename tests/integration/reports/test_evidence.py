"""Reports collected from a real store that a whole cutover was written into."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Rollback, RollbackSeverity, TriggerFiring
from changeover.domain.routing import Change, Mode
from changeover.errors import InvalidInput
from changeover.plan.procedures import RetentionSpec
from changeover.plan.triggers import TriggerAction
from changeover.store import cutovers, firings, minutes, plans, pruning, rollbacks, routing, samples
from reports import as_json, charts, evidence, render, tables
from reports.model import Asked, ReportData
from tests.support.cutover_story import BEGIN, CutoverStory, plan
from tests.support.ready_store import ready_store


@pytest.fixture
def story(tmp_path: Path) -> Iterator[CutoverStory]:
    """A story that has only begun: the plan is registered in an empty store."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield CutoverStory(store)
    store.close()


def report_of(story: CutoverStory, cutover_id: int | None = None) -> ReportData:
    """Return the report of a cutover as it stands now."""
    return evidence.collect(story.store, story.plan, cutover_id, now=story.now)


def test_promoted_cutover_is_told_with_its_people(story: CutoverStory) -> None:
    """Who agreed, every stage, every evaluation and every answer are in the report."""
    data = report_of(story.promoted())
    assert (data.headline.status, data.headline.decided_by) == ("promoted", ("Ana Lima", "Bo Chen"))
    assert {stage.status for stage in data.stages} == {"promoted"}
    beta = data.stages[1]
    assert [(each.round, each.verdict) for each in beta.evaluations] == [
        (1, "pass"), (2, "pass")]
    assert [a.decision for a in beta.approvals] == ["hold", "promote"]
    assert [mark.kind for mark in data.marks].count("promotion") == 6
    assert len(data.publications) == 5
    assert data.audit.problems == ()


def test_numbers_of_a_cutover_count_each_request_once(story: CutoverStory) -> None:
    """Figures, outage and chart points agree with the traffic that there was."""
    data = report_of(story.promoted())
    expected = story.rate * (data.end - data.start).total_seconds()
    assert sum(figures.window.requests for figures in data.figures) == expected
    assert data.outage.requests == expected
    assert sum(p.requests for line in data.series.values() for p in line) == expected
    assert (data.outage.user_errors, data.outage.down_seconds) == (0, 0)


def test_rolled_back_cutover_tells_trigger_and_what_is_left_to_do(story: CutoverStory) -> None:
    """The trigger, its time to the gateway, the failed step and the way back are in the report."""
    data = report_of(story.rolled_back(failing="restore"))
    assert data.headline.decided_by == ("trigger errors", "observer")
    assert "from gradual 50 %" in data.headline.sentence
    (view,) = data.rollbacks
    assert view.must_do == ("restore: by hand", "Mend the candidate, then `changeover recover`")
    assert [step.status for step in view.steps].count("failed") == 1
    assert [step.weight for step in data.weights] == [0, 500, 2500, 5000, 0]
    assert data.stages[-1].status == "to_come"


def test_errors_of_a_sick_candidate_are_told_by_class(story: CutoverStory) -> None:
    """What the gateway saved is the candidate's failure, and no user's error."""
    data = report_of(story.rolled_back())
    candidate = data.figures[1].window
    assert candidate.errors is not None
    assert candidate.errors["saved"] > candidate.errors["status_5xx"] > 0
    assert candidate.user_errors == candidate.errors["status_5xx"] == data.outage.user_errors
    assert 0 < data.outage.seconds_with_errors <= 6


def test_running_cutover_has_a_report_too(story: CutoverStory) -> None:
    """While a stage soaks, the report says until when, and its numbers end now."""
    story.begin()
    story.enter("shadow")
    story.live(5)
    data = report_of(story)
    assert data.headline.sentence.startswith("Shadow soaks until 2026-03-02 09:00:25 UTC, 15 s")
    assert (data.end, data.headline.ended_at) == (story.now, None)


def test_migration_without_cutover_has_a_status_report(story: CutoverStory) -> None:
    """Right after registration there is a report, and it can be rendered."""
    data = report_of(story)
    assert (data.subject, data.cutover, data.headline.status) == ("status", None, "none")
    assert "No cutover yet" in render.render_html(data)


def test_rollback_after_promotion_is_in_the_promoted_report(story: CutoverStory) -> None:
    """A report never says promoted when a person rolled back afterwards."""
    story.promoted().live(5)
    state = routing.change(
        story.store, story.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
        Author("Ana Lima", "invoices evaluation wrong"), now=story.now)
    rollbacks.begin(story.store, Rollback(
        story.migration, epoch=state.epoch, reason="invoices evaluation wrong",
        severity=RollbackSeverity.HIGH, scope="all", actor="Ana Lima", started_at=story.now))
    data = report_of(story)
    assert data.headline.status == "rolled_back"
    assert "invoices evaluation wrong" in data.headline.sentence
    assert "Ana Lima" in data.headline.decided_by


def test_next_cutover_does_not_change_the_report_of_the_one_before(story: CutoverStory) -> None:
    """Two cutovers of a migration have their own rollbacks, stages and numbers."""
    story.rolled_back()
    first = report_of(story, 1)
    routing.change(
        story.store, story.migration, Change(mode=Mode.BASELINE_ONLY, is_by_person=True),
        Author("Ana", "mended"), now=story.now)
    story.cutover = cutovers.begin(story.store, story.migration, flow_run_id="run-2",
                                   now=story.now)
    story.pass_stage("shadow")
    again = report_of(story, 1)
    assert (again.figures, again.rollbacks) == (first.figures, first.rollbacks)
    assert (again.headline, again.weights) == (first.headline, first.weights)
    assert report_of(story).rollbacks == ()


def test_rollups_do_not_change_the_charts_of_a_short_cutover(story: CutoverStory) -> None:
    """Minutes rolled up meanwhile neither double requests nor make peaks in the charts."""
    before = report_of(story.promoted())
    minutes.rollup(story.store, story.migration, now=story.now + timedelta(minutes=2))
    after = report_of(story)
    assert (after.series, after.outage) == (before.series, before.outage)
    assert [f.window.requests for f in after.figures] == [f.window.requests for f in before.figures]


def test_report_after_retention_is_made_of_minutes(story: CutoverStory) -> None:
    """When the seconds are gone, charts have a point per minute and the rates stay the same."""
    story.promoted().live(60)
    later = story.now + timedelta(days=2)
    minutes.rollup(story.store, story.migration, now=later)
    retention = RetentionSpec(seconds=timedelta(hours=1), minutes=timedelta(days=9))
    pruning.prune(story.store, story.migration, retention, now=later)
    data = evidence.collect(story.store, story.plan, 1, now=later)
    assert data.outage.resolution_seconds == 60
    assert {point.seconds for point in data.series["baseline"][:-1]} == {60}
    assert len(charts.draw(data)) == 5


def test_report_of_days_stays_small(story: CutoverStory) -> None:
    """Days of minutes become at most some hundred points, with an even rate."""
    story.begin()
    story.enter("shadow")
    first = int(BEGIN.timestamp())
    latency = Histogram.of([5000] * 30)
    samples.write(story.store, story.migration, [
        Sample("candidate", first + 60 * minute, resolution=60, requests=30, latency=latency)
        for minute in range(3 * 24 * 60)
    ])
    story.now = BEGIN + timedelta(days=3)
    data = report_of(story)
    line = data.series["candidate"]
    assert len(line) <= 151
    assert {round(p.request_rate or 0, 6) for p in line[1:-1]} == {0.5}
    assert len(render.render_html(data)) < 1_000_000


def test_changed_audit_event_is_told(story: CutoverStory, tmp_path: Path) -> None:
    """A report of a chain that someone changed says which event."""
    story.promoted()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE audit_event SET actor = 'nobody' WHERE seq = 3")
    connection.close()
    data = report_of(story)
    assert any("event 3" in problem for problem in data.audit.problems)


def test_cutover_of_another_migration_is_refused(story: CutoverStory) -> None:
    """A report never mixes the plan of one migration with the cutover of another."""
    story.begin()
    other = plan(migration="invoices")
    plans.register(story.store, other, source="plans/invoices.yaml", now=story.now)
    with pytest.raises(InvalidInput, match="belongs to migration documents"):
        evidence.collect(story.store, other, story.id, now=story.now)


def test_report_keeps_secrets_of_the_plan(story: CutoverStory) -> None:
    """Environment values and webhooks are in none of the three forms."""
    data = report_of(story.promoted())
    for form in (render.render_html(data), render.render_markdown(data), as_json.render_json(data)):
        assert "sesame" not in form
        assert "very-secret" not in form
        assert "FAULT_TOKEN" in form


def test_question_of_a_stage_holds_its_evidence(story: CutoverStory) -> None:
    """Above the approval form stand the question, the gate's numbers and the traffic."""
    story.begin()
    story.pass_stage("shadow")
    story.promote("shadow", "no gate")
    story.pass_stage("beta-5")
    asked = evidence.collect_question(
        story.store, story.plan, Asked(story.id, "beta-5", "the gate passed", 1), now=story.now)
    assert (asked.next_title, asked.next_weight, asked.warnings) == ("gradual 25 %", 2500, ())
    shown = tables.stage_question_markdown(asked)
    assert "latency of 95 % of candidate" in shown
    assert "candidate (packaging-parser)" in shown


def test_question_warns_of_what_speaks_against_promoting(story: CutoverStory) -> None:
    """Errors of users, a gate without enough data and triggers are warned of."""
    story.begin()
    story.pass_stage("shadow")
    story.enter("beta-5")
    story.sick_share = 0.5
    story.live(10)
    story.judge("beta-5")
    firings.record(story.store, TriggerFiring(
        story.migration, trigger="slow", action=TriggerAction.HOLD, reason="p95 180 ms",
        evidence={}, evidence_complete_at=story.now, epoch=0, fired_at=story.now))
    asked = evidence.collect_question(
        story.store, story.plan, Asked(story.id, "beta-5", "?", 1), now=story.now)
    told = " ".join(asked.warnings)
    assert "trigger slow fired (hold): p95 180 ms" in told
    assert "gate slo is" in told
    assert "requests of users ended in an error" in told


def test_progress_follows_the_cutover(story: CutoverStory) -> None:
    """The progress shows what was passed, what goes on and what is to come."""
    story.begin()
    story.pass_stage("shadow")
    story.promote("shadow", "no gate")
    story.enter("beta-5")
    story.live(3)
    progress = evidence.collect_progress(story.store, story.plan, None, now=story.now)
    assert [stage.status for stage in progress.stages] == [
        "promoted", "soaking", "to_come", "to_come", "to_come",
    ]
    assert "Beta 5 % soaks until" in tables.progress_markdown(progress)


def test_report_files_of_a_real_cutover_are_small_and_whole(
    story: CutoverStory, tmp_path: Path
) -> None:
    """From the store to three files in one go; the page is far below a megabyte."""
    paths = render.write(report_of(story.rolled_back()), tmp_path / "reports", name="cutover-1")
    assert paths["html"].stat().st_size < 400_000
    assert json.loads(paths["json"].read_text())["headline"]["status"] == "rolled_back"
    assert paths["markdown"].read_text().startswith("# documents: Rolled back")
