"""Validation suites as tasks: each check with its evidence and verdict in the store."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from changeover import clock
from changeover.checks.suites.outcome import as_stored
from changeover.checks.suites.target import CheckTarget
from changeover.domain.report_files import Report
from changeover.domain.run_ends import Work
from changeover.domain.suites import SuiteCheck, SuiteRun, SuiteVerdict
from changeover.domain.verdict import Verdict, worst
from changeover.store import carriers, report_files, validations
from tasks.runtime import root_run_id, runtime_of
from tasks.steps import step

Result = dict[str, Any]
"""`suite`, `run`, `verdict`, and `reason`: one sentence with what failed."""


@step(name="begin suite", task_run_name="begin suite {suite}")
def begin_suite(migration: str, suite: str, key: str) -> int:
    """Open the suite's run, or find the one that this flow run opened before it was killed.

    Returns:
        The run's id.

    Raises:
        InvalidInput: The plan has no such suite.
    """
    from changeover.checks.suites.run import checks_of

    runtime = runtime_of(migration)
    checks_of(runtime.plan, suite)
    return validations.begin(
        runtime.store, migration, suite, key=key, now=clock.now()).id


def carry_suite(migration: str, run_id: int) -> None:
    """Note that this flow run carries a suite's run, unless that has ended."""
    carriers.take(runtime_of(migration).store, migration, f"{Work.SUITE} {run_id}",
                  flow="validation", flow_run_id=str(root_run_id()), now=clock.now())


def drop_suite(migration: str, run_id: int) -> None:
    """Note that a suite's run has said how it ended."""
    carriers.drop(runtime_of(migration).store, migration, f"{Work.SUITE} {run_id}",
                  flow_run_id=str(root_run_id()))


@step(name="check", task_run_name="{name}")
def carry_out_check(migration: str, suite: str, run_id: int, number: int, name: str) -> str:
    """Carry out one check and keep what it found; one that was kept before is not done again.

    Returns:
        Its verdict.
    """
    from changeover.checks.suites.run import checks_of, run_check

    runtime = runtime_of(migration)
    known = {check.number: check for check in validations.checks(runtime.store, run_id)}
    if number in known:
        return known[number].verdict
    check = checks_of(runtime.plan, suite)[number][1]
    run = run_check(CheckTarget.of(runtime.site), number, name, check)
    validations.save_check(runtime.store, as_stored(run_id, run))
    return str(run.outcome.verdict)


def carry_out_checks(migration: str, suite: str, run_id: int) -> None:
    """Carry out every check of a suite: beside each other where they may, then the others."""
    from changeover.checks.suites.run import checks_of, runs_alone

    checks = list(enumerate(checks_of(runtime_of(migration).plan, suite)))
    together = [
        carry_out_check.submit(migration, suite, run_id, number, name)
        for number, (name, check) in checks if not runs_alone(check)
    ]
    for future in together:
        future.result()
    for number, (name, check) in checks:
        if runs_alone(check):
            carry_out_check(migration, suite, run_id, number, name)


async def run_suite(
    migration: str, suite: str | None, cutover_id: int, round_: int = 1
) -> Result | None:
    """Run a suite as part of a cutover, once in each round; None when the plan names none."""
    return await _run(migration, suite, f"cutover {cutover_id}",
                      f" round {round_}" if round_ > 1 else "")


async def run_verification(migration: str, suite: str | None, rollback_id: int) -> Result | None:
    """Run the suite that verifies a rollback, once; None when the plan names none."""
    return await _run(migration, suite, f"rollback {rollback_id}")


async def run_rehearsed(migration: str, suite: str | None) -> Result | None:
    """Run the suite that would verify a rollback, once a run; None when the plan names none."""
    return await _run(migration, suite, f"rehearsal {root_run_id()}")


async def _run(
    migration: str, suite: str | None, subject: str, occasion: str = ""
) -> Result | None:
    """Run a suite for a subject, or return what was found when that was done before."""
    if suite is None:
        return None
    runtime = runtime_of(migration)
    key = f"{migration} {subject} {suite}{occasion}"
    known = validations.of_key(runtime.store, key)
    if known is not None and known.ended_at is not None:
        return _result(known, validations.checks(runtime.store, known.id))
    run_id = begin_suite(migration, suite, key)
    carry_out_checks(migration, suite, run_id)
    return await close_suite(migration, run_id, subject)


@step(name="close suite")
async def close_suite(migration: str, run_id: int, actor: str) -> Result:
    """Judge the suite by its worst check, and render the report."""
    from reports.validation import render_markdown, write

    runtime = runtime_of(migration)
    checks = validations.checks(runtime.store, run_id)
    verdict = worst(check.verdict for check in checks)
    run = validations.finish(
        runtime.store, run_id, verdict=SuiteVerdict(verdict), actor=actor, now=clock.now())
    paths = write(run, checks, runtime.home.reports)
    report_files.save(runtime.store, Report(
        migration=migration, subject=f"suite {run.suite}"[:20], cutover_id=None, at=clock.now(),
        html_path=str(paths["html"]), markdown_path=str(paths["md"]),
        json_path=str(paths["json"]),
    ))
    key = f"{migration}-suite-{run.suite}".replace("_", "-")
    what = f"Suite {run.suite}: {verdict}"
    await acreate_markdown_artifact(markdown=render_markdown(run, checks), key=key,
                                    description=what)
    if runtime.reports_url:
        await acreate_link_artifact(
            link=f"{runtime.reports_url}/{paths['html'].name}", key=f"{key}-report",
            link_text="The report with evidence", description=what)
    return _result(run, checks)


def _result(run: SuiteRun, checks: list[SuiteCheck]) -> Result:
    from reports.validation import sentence

    failed = [
        f"{check.name}: {check.reason}" for check in checks
        if check.verdict is not Verdict.PASS
    ]
    reason = sentence(run, checks) + ("; " + "; ".join(failed) if failed else "")
    return {"suite": run.suite, "run": run.id, "verdict": run.verdict, "reason": reason[:2000]}
