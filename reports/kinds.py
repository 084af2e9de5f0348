"""The kinds of reports that there are, by name."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.suites import SuiteCheck, SuiteRun
from changeover.errors import InvalidInput
from changeover.plan.model import Plan
from changeover.store import validations
from changeover.store.engine import Store
from reports import comparing, daily, evidence, lessons, render, undone, validation
from reports.kind import Ask, Kind, Report
from reports.model import ReportData


def _cutover(store: Store, plan: Plan, ask: Ask) -> Report:
    data = evidence.collect(store, plan, ask.number, now=ask.now, since=ask.since)
    about = f"cutover-{data.cutover.id}" if data.cutover else "status"
    return Report(
        "cutover", f"{plan.migration}-{about}", data,
        lambda: render.render_html(data), lambda: render.render_markdown(data))


@dataclass(frozen=True, slots=True)
class SuiteReport(SuiteRun):
    """A run of a suite with its checks and their evidence."""

    checks: tuple[SuiteCheck, ...]


def _validation(store: Store, plan: Plan, ask: Ask) -> Report:
    run = validations.latest(store, plan.migration) if ask.number is None \
        else validations.get(store, ask.number)
    if run is None or run.migration != plan.migration:
        which = "no suite of it was run yet" if ask.number is None \
            else f"there is no run {ask.number} of its suites"
        raise InvalidInput(
            f"{plan.migration}: {which}", where="report validation",
            next_step="Run one with `changeover validate SUITE`")
    checks = validations.checks(store, run.id)
    fields = {name: getattr(run, name) for name in SuiteRun.__dataclass_fields__}
    return Report(
        "validation", f"{run.migration}-{run.suite}-{run.id}",
        SuiteReport(**fields, checks=tuple(checks)),
        lambda: validation.render_html(run, checks),
        lambda: validation.render_markdown(run, checks))


KINDS = {
    kind.name: kind for kind in (
        Kind("cutover", "where a cutover stands or how it ended, with all its evidence",
             ReportData, _cutover),
        daily.KIND,
        comparing.KIND,
        undone.KIND,
        Kind("validation", "what a suite of checks found when it was run last",
             SuiteReport, _validation),
        lessons.KIND,
    )
}
"""Every kind by its name, the most used first."""
