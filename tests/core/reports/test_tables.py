"""The Markdown that people see in the Prefect UI."""

from __future__ import annotations

from dataclasses import replace

import pytest

from changeover.domain.rollout import CutoverStatus
from changeover.domain.verdict import Verdict
from changeover.plan.metrics import METRICS
from changeover.plan.statuses import WITH_STATUS
from reports import sections, tables
from reports.headline import Story, headline
from reports.model import OF_SYSTEMS, Progress, Question, StageStanding
from tests.core.reports.hand_made import (
    NAMES,
    NASTY,
    after,
    approval,
    check,
    cutover,
    evaluation,
    figures,
    stage,
)

QUESTION = Question(
    migration="documents", systems=NAMES, stage=stage(), reason="the gate passed", ordinal=1,
    next_title="gradual 50 %", next_weight=5000, next_segments=(), next_soak_seconds=604_800,
    warnings=(),
)


def progress(*stages: object) -> Progress:
    """Return the progress of a running cutover."""
    views = tuple(stages) or (stage(), stage("gradual-50", status=StageStanding.TO_COME,
                                             seconds=None))
    story = Story(cutover(CutoverStatus.RUNNING), views, [], [], NAMES,  # type: ignore[arg-type]
                  "gradual", after(60))
    return Progress("documents", NAMES, headline(story), "gradual", views,  # type: ignore[arg-type]
                    (figures("baseline"), figures()))


def test_gate_table_shows_what_is_needed_to_recompute_it() -> None:
    """Value, bound, samples, window and verdict stand in the table, with units."""
    table = tables.gate_table_markdown([evaluation()])
    for part in ("✓ pass", "failed requests of candidate", "0.100 %", "below 0.500 %",
                 "1\u202f000 (at least 100)", "09:00:00 to 09:00:30 UTC"):
        assert part in table


def test_gate_table_shows_the_baseline_of_a_ratio() -> None:
    """A ratio can only be recomputed with the baseline's value and samples."""
    ratio = check(metric="latency_p95", value=0.013, baseline_value=0.0125, baseline_samples=900)
    table = tables.gate_table_markdown([evaluation(evidence=[ratio])])
    assert "12.5 ms" in table
    assert "baseline 900" in table


def test_gate_table_shows_the_newest_look() -> None:
    """Of several evaluations at a gate the last one counts, and its number is told."""
    evaluations = [evaluation(Verdict.INCONCLUSIVE, number=1), evaluation(Verdict.PASS, number=2)]
    table = tables.gate_table_markdown(evaluations)
    assert "inconclusive" not in table
    assert "(evaluation 2)" in table


def test_gate_table_before_any_look_says_so() -> None:
    """An empty table would look like a pass."""
    assert tables.gate_table_markdown([]) == "No gate has been judged yet."


def test_gate_table_survives_evidence_of_another_version() -> None:
    """Missing keys are shown as unknown."""
    assert "? of ?" in tables.gate_table_markdown([evaluation(evidence=[{"verdict": "pass"}])])


@pytest.mark.parametrize(("verdict", "log_worse", "words"), [
    (Verdict.FAIL, 7.5, "✗ fail: harm is shown"),
    (Verdict.FAIL, 0.5, "✗ fail: too little data"),
    (Verdict.PASS, -2.5, "✓ pass: harm beyond the margin is excluded (95 %)"),
    (Verdict.INCONCLUSIVE, 2.5, "? inconclusive: undecided"),
])
def test_gate_table_says_how_sure_a_verdict_by_evidence_is(
    verdict: Verdict, log_worse: float, words: str
) -> None:
    """Two values that were compared say nothing of the kind, evidence does."""
    evidence = {"log_worse": log_worse, "log_bar": 5.0}
    by_evidence = evaluation(verdict, evidence=[check(verdict=verdict, sequential=evidence)])
    assert f"| {words} |" in tables.gate_table_markdown([by_evidence])
    assert words not in tables.gate_table_markdown([evaluation(verdict)])


def test_gate_table_marks_a_check_that_is_only_shown() -> None:
    """It fails beside a gate that passes: nobody should look for the reason."""
    shown = check(verdict=Verdict.FAIL, on_fail="show")
    assert "| ✗ fail: shown only |" in tables.gate_table_markdown([evaluation(evidence=[shown])])


def test_gate_table_counts_the_requests_that_were_left_out() -> None:
    """Who judges a verdict sees what it does not cover, the most frequent reason first."""
    left_out = {"no key": 12, "moved by a segment or by hand": 1200}
    table = tables.gate_table_markdown([evaluation(evidence=[check(
        baseline_samples=900, sequential={"excluded": left_out})])])
    assert ("baseline 900; left out 1\u202f212 requests: 1\u202f200 moved by a segment or by hand, "
            "12 no key |") in table


def test_gate_table_is_silent_where_nothing_was_left_out() -> None:
    """Nought for every reason is no news."""
    table = tables.gate_table_markdown([evaluation(evidence=[check(sequential={"excluded": {}})])])
    assert "left out" not in table


def test_question_says_what_each_answer_does() -> None:
    """Promote, hold and rollback are explained with names, percentages and times."""
    asked = tables.stage_question_markdown(QUESTION)
    assert "Leave beta 5 % of migration documents and go on to gradual 50 %?" in asked
    assert "50 % of users get new-parser, for at least 7 d" in asked
    assert "beta 5 % soaks 30 s more" in asked
    assert "everyone is back on old-parser at once" in asked


def test_question_of_the_last_stage_ends_the_cutover() -> None:
    """Promoting the last stage moves nobody; it ends the cutover."""
    asked = tables.stage_question_markdown(replace(QUESTION, next_title=None))
    assert "the cutover ends as promoted" in asked


def test_question_with_several_approvers_says_which_one_this_is() -> None:
    """Two people must agree, and each knows that one answer is not enough."""
    asked = tables.stage_question_markdown(replace(QUESTION, stage=stage(approvers=2)))
    assert "approval 1 of 2" in asked
    assert "once all approvers have agreed" in asked


def test_question_puts_warnings_before_the_evidence() -> None:
    """What speaks against promoting is read first."""
    asked = tables.stage_question_markdown(replace(QUESTION, warnings=("3 requests failed",)))
    assert asked.index("⚠ 3 requests failed") < asked.index("#### Evidence")


def test_question_escapes_reasons_and_warnings() -> None:
    """Texts of others neither break the form nor become markup."""
    asked = tables.stage_question_markdown(replace(QUESTION, reason=NASTY, warnings=(NASTY,)))
    assert "<script" not in asked
    assert "[now](" not in asked


def test_progress_lists_every_stage_with_its_state() -> None:
    """The stages to come are seen as well as those behind."""
    shown = tables.progress_markdown(progress())
    assert "| ✓ | beta 5 % | 5 % of users and segment beta | 30 s | promoted | 40 s |" in shown
    assert "| ○ | gradual 50 % |" in shown


def test_progress_says_until_when_a_stage_soaks() -> None:
    """A soaking stage shows its end, a held one its round."""
    soaking = stage(status=StageStanding.SOAKING, soak_until=after(90), round=2,
                    approvals=(approval(),))
    assert "soaking until 09:01:30 UTC, round 2" in tables.progress_markdown(progress(soaking))


def test_progress_links_only_addresses_of_the_web() -> None:
    """The report's link is one; anything else is left out."""
    shown = tables.progress_markdown(progress(), report_url="http://127.0.0.1:1/a b.html")
    assert "[Full report](<http://127.0.0.1:1/a%20b.html>)" in shown
    assert "Full report" not in tables.progress_markdown(progress(), report_url="javascript:x")


def test_figures_of_nothing_say_so() -> None:
    """Before the first measurement there is a sentence, not an empty table."""
    assert tables.figures_markdown(()) == "Nothing has been measured yet."


def test_every_metric_of_the_catalogue_stands_in_the_table_of_figures() -> None:
    """Whoever adds a metric need not name it in a report again."""
    labels = {row.label for row in sections.figure_rows((figures("baseline"), figures()))}
    counted = {"error_rate", "server_error_rate", "user_error_rate", *WITH_STATUS}
    for metric in METRICS.values():
        if metric.source in OF_SYSTEMS and metric.name not in counted:
            assert metric.words in labels


def test_a_value_of_a_source_is_shown_in_its_unit() -> None:
    """The catalogue does not know it; the check that was stored does."""
    found = check(metric="external.failed_payments", value=0.02, baseline_value=0.01,
                  baseline_samples=300)
    row = tables.check_row({**found, "check": {"unit": "share"}})
    assert (row.check, row.value) == ("failed payments of candidate", "2.000 %")
    assert row.baseline == "1.000 %"
    assert tables.check_row({**found, "check": {"unit": "duration"}}).value == "20 ms"
    assert tables.check_row(found).value == "0.02"
