"""The command that runs a validation suite."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from changeover import clock
from changeover.checks.suites.junit import junit_xml
from changeover.checks.suites.outcome import CheckRun, as_stored
from changeover.checks.suites.run import checks_of, run_suite, verdict_of
from changeover.checks.suites.target import CheckTarget
from changeover.cli.common import environment_option, home_option, output_option
from changeover.domain.suites import SuiteVerdict
from changeover.domain.verdict import Verdict
from changeover.errors import EXIT_FAILED, EXIT_OK
from changeover.plan.load import load_plan
from changeover.site.site import Site
from changeover.store import validations

_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@click.command(epilog="\b\nExamples:\n"
               "  changeover validate staging --plan plans/own.yaml\n"
               "  changeover validate pre_cutover --junit results.xml\n"
               "  changeover validate post_cutover --output json\n"
               "\b\nExit codes: 0 every check passed, 1 one failed or could not be decided.")
@click.argument("suite")
@home_option
@output_option
@click.option("--plan", "file", type=click.Path(dir_okay=False, path_type=Path),
              help="A plan that was not started; default: the one that runs.")
@environment_option
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the results as JUnit XML, too.")
def validate(
    suite: str, home: Path | None, migration: str | None, output: str, file: Path | None,
    environment: str | None, junit: Path | None,
) -> int:
    """Run the checks of a suite and show every failure at once.

    With a running migration the results are kept in its store.
    """
    if file is not None:
        target, found = CheckTarget(load_plan(file, environment), file.absolute().parent), None
    else:
        found = Site.open(home, migration)
        target = CheckTarget.of(found)
    runs = _with_bars(target, suite)
    if found is not None:
        _keep(found, suite, runs)
    results = [as_stored(0, run) for run in runs]
    if junit is not None:
        junit.write_text(junit_xml(suite, results))
    verdict = verdict_of(runs)
    if output == "json":
        click.echo(json.dumps({"suite": suite, "verdict": verdict,
                               "checks": [asdict(each) for each in results]}, indent=1,
                              default=str))
    else:
        click.echo(as_text(suite, runs))
    return EXIT_OK if verdict is Verdict.PASS else EXIT_FAILED


def _with_bars(target: CheckTarget, suite: str) -> list[CheckRun]:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        bars: list[TaskID] = [
            progress.add_task(name, total=1.0) for name, _ in checks_of(target.plan, suite)
        ]
        return run_suite(target, suite,
                         lambda number, share: progress.update(bars[number], completed=share))


def _keep(found: Site, suite: str, runs: list[CheckRun]) -> None:
    run = validations.begin(found.store, found.migration, suite,
                            key=f"command-{uuid.uuid4()}", now=clock.now())
    for each in runs:
        validations.save_check(found.store, as_stored(run.id, each))
    validations.finish(found.store, run.id, verdict=SuiteVerdict(verdict_of(runs)),
                       actor="command line", now=clock.now())


def as_text(suite: str, runs: list[CheckRun]) -> str:
    """Return the results for people, failures last so that they are seen."""
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    ordered = sorted(runs, key=lambda run: (order.index(run.outcome.verdict), run.number))
    lines = []
    for run in ordered:
        problems = run.outcome.evidence.get("problems") or [run.outcome.reason]
        lines.append(f"{_SIGNS[run.outcome.verdict]} {run.name} ({run.seconds:.1f} s)")
        lines += [f"    {problem}" for problem in problems]
    return "\n".join([*lines, "", f"suite {suite}: {verdict_of(runs)}"])
