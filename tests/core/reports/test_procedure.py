"""The steps around the phases and the criteria of success, in every form of the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollout import Cutover
from changeover.store import cutovers, steps, validations
from changeover.store.engine import Store
from reports import reading
from reports.as_json import render_json
from reports.procedure import Criterion, Procedure, ProcedureStep
from reports.render import render_html, render_markdown
from tests.core.reports.hand_made import AT, NASTY, after, short
from tests.support.ready_store import ready_store

STEPS = (
    ProcedureStep("backup", "done", "3 items, verified by restoring them", AT, 2.0),
    ProcedureStep("suite post_cutover", "fail", NASTY, after(60), 4.0),
)
CRITERIA = (
    Criterion("every stage was promoted", True, "2 of 2"),
    Criterion("suite post_cutover passed", False, NASTY),
)


def test_report_shows_steps_and_criteria_in_every_form() -> None:
    """What was done before and after the stages, and what is not met, is in all three."""
    data = replace(short(), procedure=Procedure(STEPS, CRITERIA))
    page, markdown, program = render_html(data), render_markdown(data), render_json(data)
    for text in (page, markdown, program):
        assert "verified by restoring them" in text
        assert "every stage was promoted" in text
    assert "✗ not met" in page
    assert "✗ not met" in markdown
    assert "<script>alert" not in page


def test_report_without_steps_has_no_section_of_them() -> None:
    """A cutover that has no procedure around its stages is not told of one."""
    data = replace(short(), procedure=Procedure((), ()))
    assert "Procedure" not in render_html(data)
    assert "Procedure" not in render_markdown(data)


def test_procedure_is_collected_in_order_of_time_with_the_newest_criteria(tmp_path: Path) -> None:
    """Steps and suites of this cutover only; criteria of the last round of observation."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    cutover = _cutover(store)
    subject = f"cutover-{cutover.id}"
    for seconds, step, met in ((20, steps.CRITERIA, False), (5, "backup", None),
                               (40, f"{steps.CRITERIA} 2", True)):
        criteria = [] if met is None else [{"criterion": "c", "is_met": met, "detail": "d"}]
        steps.save(store, Step("documents", subject, step, StepStatus.DONE, step, after(seconds),
                               after(seconds + 1), {"criteria": criteria}))
    for key in (f"documents cutover {cutover.id} pre_cutover", "documents cutover 99 pre_cutover"):
        run = validations.begin(store, "documents", "pre_cutover", key=key, now=after(1))
        validations.finish(store, run.id, verdict="pass", actor="test", now=after(3))
    found = reading.procedure_of(store, cutover)
    store.close()
    assert [step.name for step in found.steps] == [
        "suite pre_cutover", "backup", steps.CRITERIA, f"{steps.CRITERIA} 2"]
    assert [criterion.is_met for criterion in found.criteria] == [True]


def _cutover(store: Store) -> Cutover:
    from changeover.store import plans
    from tests.integration.conftest import make_plan

    plans.register(store, make_plan(migration="documents"), source="test", now=AT)
    return cutovers.begin(store, "documents", flow_run_id="run", now=AT)
