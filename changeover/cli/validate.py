"""The command that runs validation suites."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path

import click

from changeover import clock
from changeover.checks.suites.junit import junit_xml
from changeover.checks.suites.result import CheckRun, as_stored
from changeover.checks.suites.run import checks_of, run_suite, verdict_of
from changeover.checks.suites.target import CheckTarget
from changeover.cli import completing
from changeover.cli.bars import several
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    site_command,
    unstarted_plan_option,
)
from changeover.domain.suites import SuiteVerdict
from changeover.domain.verdict import Verdict, worst
from changeover.errors import EXIT_FAILED, EXIT_OK
from changeover.site.site import Site
from changeover.store import validations

WHOLE = 1000
"""Steps of a bar: a check says only which share of it is done."""
_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@click.command(epilog="\b\nExamples:\n"
               "  changeover validate staging --plan plans/own.yaml\n"
               "  changeover validate pre_cutover --junit results.xml\n"
               "  changeover validate smoke staging --plan plans/own.yaml --env staging\n"
               "  changeover validate post_cutover --output json\n"
               "\b\nExit codes: 0 every check passed, 1 one failed or could not be decided.")
@click.argument("suites", metavar="SUITE...", nargs=-1, required=True,
                shell_complete=completing.suites)
@site_command
@unstarted_plan_option
@environment_option
@click.option("--junit", type=FILE, help="Write the results as JUnit XML, too.")
def validate(session: Session, suites: tuple[str, ...], junit: Path | None) -> int:
    """Run the checks of a suite and show every failure at once.

    Several suites run one after the other, each to its end. With a running migration the results
    are saved in its store.
    """
    target = _target(session)
    for suite in suites:
        # a misspelt name is said before the first suite has run for an hour
        checks_of(target.plan, suite)
    found = {}
    for suite in dict.fromkeys(suites):
        runs = found[suite] = _run_with_bars(session, target, suite)
        if session.plan_file is None:
            _save(session.site, suite, runs)
    results = {suite: [as_stored(0, run) for run in runs] for suite, runs in found.items()}
    if junit is not None:
        junit.write_text(junit_xml(results))
    verdict = worst([verdict_of(runs) for runs in found.values()])
    data = [{"suite": suite, "verdict": verdict_of(runs),
             "checks": [asdict(each) for each in results[suite]]} for suite, runs in found.items()]
    texts = [as_text(suite, runs) for suite, runs in found.items()]
    if len(found) == 1:
        session.show(texts[0], data[0])
    else:
        told = ", ".join(f"{suite} {verdict_of(runs)}" for suite, runs in found.items())
        session.show("\n\n".join([*texts, f"{len(found)} suites: {verdict} ({told})"]),
                     {"verdict": verdict, "suites": data})
    return EXIT_OK if verdict is Verdict.PASS else EXIT_FAILED


def _target(session: Session) -> CheckTarget:
    """Return what the suites examine: the plan of a file, or the migration that runs."""
    # a plan that was not started has no store to save results in
    if session.plan_file is not None:
        return CheckTarget(session.load_plan(), session.plan_file.absolute().parent)
    return CheckTarget.of(session.site)


def _run_with_bars(session: Session, target: CheckTarget, suite: str) -> list[CheckRun]:
    """Run the suite with a bar on standard error for each check."""
    names = [name for name, _ in checks_of(target.plan, suite)]
    with several(is_hidden=session.output == "json") as report:
        # all of them at once: a person sees what is still to come
        for number, name in enumerate(names, 1):
            report(f"{number} {name}", 0, WHOLE)

        def advance(number: int, share: float) -> None:
            report(f"{number + 1} {names[number]}", round(share * WHOLE), WHOLE)

        return run_suite(target, suite, advance)


def _save(site: Site, suite: str, runs: list[CheckRun]) -> None:
    """Save the results in the store as those of a run that nobody else can repeat."""
    # a flow run repeats its suite under the same key; a command is a run of its own each time
    key = f"command-{uuid.uuid4()}"
    run = validations.begin(
        site.store, site.migration, suite, key=key, now=clock.now())
    for each in runs:
        validations.save_check(site.store, as_stored(run.id, each))
    verdict = SuiteVerdict(verdict_of(runs))
    validations.finish(
        site.store, run.id, verdict=verdict,
        actor="command line", now=clock.now())


def as_text(suite: str, runs: list[CheckRun]) -> str:
    """Return the results for people, failures last so that they are seen."""
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    by_number = sorted(runs, key=lambda run: run.number)
    ordered = sorted(by_number, key=lambda run: order.index(run.result.verdict))
    lines = []
    for run in ordered:
        result = run.result
        # a check may find several problems: each gets its line
        problems = result.evidence.get("problems") or [result.reason]
        sign = _SIGNS[result.verdict]
        lines.append(f"{sign} {run.name} ({run.seconds:.1f} s)")
        lines += [f"    {problem}" for problem in problems]
    return "\n".join([*lines, "", f"suite {suite}: {verdict_of(runs)}"])
