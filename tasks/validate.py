"""Validation suites as tasks: each check with its evidence and verdict in the store."""

from __future__ import annotations

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from changeover import clock
from changeover.checks.suites.result import as_stored
from changeover.checks.suites.target import CheckTarget
from changeover.domain.run_ends import Carrier, Work
from changeover.domain.suites import SuiteCheck, SuiteRun, SuiteVerdict
from changeover.domain.verdict import Verdict, worst
from changeover.procedures.steps import broke
from changeover.procedures.suites import SuiteResult
from changeover.site.site import Site
from changeover.store import carriers, validations
from tasks.flow_runs import root_run_id
from tasks.report import save_forms
from tasks.steps import PASSING_TROUBLE, step


@step(name="begin suite", task_run_name="begin suite {suite}")
def begin_suite(site: Site, suite: str, key: str) -> int:
    """Open the suite's run, or find the one that this flow run opened before it was killed.

    Returns:
        The run's id.

    Raises:
        InvalidInput: The plan has no such suite.
    """
    from changeover.checks.suites.run import checks_of

    # before a row is made: an unknown suite leaves none
    checks_of(site.plan, suite)
    run = validations.begin(
        site.store, site.migration, suite, key=key, now=clock.now())
    return run.id


def assign_suite(site: Site, run_id: int) -> None:
    """Note that this flow run carries a suite's run, unless that has ended."""
    work = f"{Work.SUITE} {run_id}"
    carrier = Carrier(
        site.migration, work, "validation", root_run_id(), since=clock.now())
    carriers.assign(site.store, carrier)


def drop_suite(site: Site, run_id: int) -> None:
    """Note that a suite's run has said how it ended."""
    work = f"{Work.SUITE} {run_id}"
    carriers.drop(
        site.store, site.migration, work, flow_run_id=root_run_id())


@step(name="check", task_run_name="{name}")
def carry_out_check(site: Site, suite: str, run_id: int, *, number: int, name: str) -> str:
    """Run one check and save what it found; one that was saved before is not run again.

    Returns:
        Its verdict.
    """
    from changeover.checks.suites.run import checks_of, run_check

    # a run that begins again finds what is done: a suite may take an hour
    for known in validations.checks(site.store, run_id):
        if known.number == number:
            return known.verdict
    _, check = checks_of(site.plan, suite)[number]
    target = CheckTarget.of(site)
    run = run_check(target, number, name, check)
    validations.save_check(site.store, as_stored(run_id, run))
    return str(run.result.verdict)


def carry_out_checks(site: Site, suite: str, run_id: int) -> None:
    """Run every check of a suite: at the same time those that may, then the others."""
    from changeover.checks.suites.run import checks_of, runs_alone

    checks = list(enumerate(checks_of(site.plan, suite)))
    # first those that bear company: the others wait until nothing else changes what they measure
    together = []
    for number, (name, check) in checks:
        if not runs_alone(check):
            future = carry_out_check.submit(
                site, suite, run_id, number=number, name=name)
            together.append(future)
    for future in together:
        # all are waited for, and the first error is raised only then
        future.result()
    for number, (name, check) in checks:
        if runs_alone(check):
            carry_out_check(site, suite, run_id, number=number, name=name)


async def run_suite(
    site: Site, suite: str | None, subject: str, round_: int = 1
) -> SuiteResult | None:
    """Run a suite as part of a procedure, once in each round; None when the plan names none.

    Args:
        site: The migration.
        suite: Name of the suite.
        subject: What it is part of: `cutover 7`, `rollback 3`.
        round_: How often it is run for that, from 1.
    """
    if suite is None:
        return None
    occasion = f" round {round_}" if round_ > 1 else ""
    key = f"{site.migration} {subject} {suite}{occasion}"
    known = validations.of_key(site.store, key)
    if known is not None and known.ended_at is not None:
        return _result(known, validations.checks(site.store, known.id))
    run_id = begin_suite(site, suite, key)
    carry_out_checks(site, suite, run_id)
    return await close_suite(site, run_id, subject)


async def run_verification(site: Site, rollback_id: int) -> SuiteResult | None:
    """Run the plan's suite; one that breaks is one that failed, and verification goes on."""
    suite = site.plan.rollback.verify
    try:
        return await run_suite(site, suite, f"rollback {rollback_id}")
    # the store or the server is away: that says nothing of the suite
    except PASSING_TROUBLE:
        raise
    except Exception as error:  # noqa: BLE001  people must be notified in any case
        return SuiteResult(str(suite), SuiteVerdict.FAIL, broke(error))


@step(name="close suite")
async def close_suite(site: Site, run_id: int, actor: str) -> SuiteResult:
    """Judge the suite by its worst check, and render the report."""
    checks = validations.checks(site.store, run_id)
    verdict = worst(check.verdict for check in checks)
    run = validations.finish(
        site.store, run_id, verdict=SuiteVerdict(verdict), actor=actor, now=clock.now())
    await _publish(site, run, checks)
    return _result(run, checks)


async def _publish(site: Site, run: SuiteRun, checks: list[SuiteCheck]) -> None:
    """Render the report of a suite's run, note it in the store and show it in Prefect's page."""
    from reports.validation import forms_of, name_of

    forms, name = forms_of(run, checks), name_of(run)
    # as long as the store's column
    save_forms(site, name, forms, subject=f"suite {run.suite}"[:20])
    key = f"{site.migration}-suite-{run.suite}".replace("_", "-")
    what = f"Suite {run.suite} of {site.migration}: {run.verdict}; each check with its reason"
    await acreate_markdown_artifact(
        markdown=forms["md"], key=key, description=what)
    if site.reports_url:
        await acreate_link_artifact(
            link=f"{site.reports_url}/{name}.html", key=f"{key}-report",
            link_text="The report with evidence", description=what)


def _result(run: SuiteRun, checks: list[SuiteCheck]) -> SuiteResult:
    from reports.validation import sentence

    parts = [sentence(run, checks)]
    for check in checks:
        if check.verdict is not Verdict.PASS:
            parts.append(f"{check.name}: {check.reason}")
    reason = "; ".join(parts)
    return SuiteResult(run.suite, run.verdict, reason[:2000])
