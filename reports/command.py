"""`changeover report`: any report, as a page, as Markdown or as JSON.

The command line finds it by its name: it stands above the core, which knows nothing of reports.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from changeover import clock
from changeover.cli.common import Session, home_option, migration_option, pass_session
from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.machine.files import READABLE_BY_ALL, write_atomically

if TYPE_CHECKING:
    from changeover.site.site import Site
    from reports.kind import Report

NAMES = ("cutover", "daily", "comparison", "rollback", "validation", "lessons")
"""The kinds by name; `reports.kinds` has them, and takes a second to import."""
NUMBERED = ("cutover", "rollback", "validation", "lessons")
"""Kinds that are about one of several, so that `--id` says which."""
TIMED = ("cutover", "daily", "comparison")
"""Kinds that can be about a part of the time, so that `--hours` says which."""
_EPILOG = """
\b
Kinds:
  cutover     where a cutover stands or how it ended, with all its evidence
  daily       the last 24 hours: what changed, what waits, health, new divergences
  comparison  similarity of the answers over time, and what differs with both values
  rollback    what led to a rollback, what it changed, and what people must do
  validation  what a suite of checks found when it was run last
  lessons     what a cutover teaches: times, near misses, flaky gates, advice
\b
Examples:
  changeover report                             the newest cutover, as a page
  changeover report daily --open                the last 24 hours, in the browser
  changeover report cutover --hours 6           the newest cutover, its last six hours
  changeover report comparison --format json    for programs
  changeover report lessons --id 3 --format md  of cutover 3
  changeover report daily --schema              what the JSON form says
"""


@click.command(epilog=_EPILOG)
@click.argument("kind", metavar="[KIND]", type=click.Choice(NAMES), default="cutover")
@click.option("--id", "number", type=click.IntRange(min=1),
              help="Of which cutover, rollback or run of a suite; default: the newest.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True, max=24 * 3660),
              help="Only the last so many hours (daily: default 24).")
@click.option("--format", "form", type=click.Choice(["html", "md", "json"]), default="html",
              show_default=True, help="A page, Markdown, or JSON for programs.")
@click.option("--output", "target", type=click.Path(dir_okay=False, path_type=Path),
              help="Where to write; `-` prints. Default: a page goes into the home's `reports`, "
              "all else is printed.")
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@click.option("--schema", "is_schema", is_flag=True,
              help="Print the JSON schema of the kind instead.")
@home_option
@migration_option
@pass_session
def report(
    session: Session, /, kind: str, is_opened: bool, is_schema: bool, target: Path | None,
    **asked: object,
) -> None:
    """Write a report: where the cutover stands, the day, what differs, lessons learned."""
    form = str(asked["form"])
    if is_schema:
        from reports.kinds import KINDS
        from reports.schema import schema_of

        click.echo(json.dumps(schema_of(KINDS[kind]), indent=1))
        return
    if is_opened and form != "html":
        raise InvalidInput(
            f"--open shows a page, and --format {form} is none", where="report",
            next_step="Leave out one of them")
    _require(kind, "--id", asked["number"], NUMBERED)
    _require(kind, "--hours", asked["hours"], TIMED)
    with _working(kind):
        found = _build(session, kind, asked)
        text = _content(found, form)
    if str(target) == "-" or (target is None and form != "html"):
        # the text ends with a line end of its own
        click.echo(text, nl=False)
        return
    path = target or session.site.home.reports / f"{found.name}.html"
    _write(path, text)
    click.echo(str(path))
    if target is None and session.site.reports_url:
        click.echo(f"{session.site.reports_url.rstrip('/')}/{path.name}")
    if is_opened and not webbrowser.open(path.absolute().as_uri()):
        click.echo("no browser could be started here: open the file yourself", err=True)


def _require(kind: str, option: str, value: object, kinds: tuple[str, ...]) -> None:
    """Refuse an option that would be ignored: the report would be about something else."""
    if value is not None and kind not in kinds:
        raise InvalidInput(
            f"{option} {value} says nothing to the report {kind}", where="report",
            allowed=f"{option} with {', '.join(kinds)}", next_step=f"Leave out {option}")


def _build(session: Session, kind: str, asked: dict[str, object]) -> Report:
    from dataclasses import replace

    from reports.kind import Ask
    from reports.kinds import KINDS

    site: Site = session.site
    hours, number = asked["hours"], asked["number"]
    ask = Ask(
        clock.now(), number if isinstance(number, int) else None,
        float(hours) if isinstance(hours, int | float) else None)
    found = KINDS[kind].build(site.store, site.plan, ask)
    # a part of the time does not take the place of the whole
    return found if ask.hours is None else replace(
        found, name=f"{found.name}-last-{ask.hours:g}h")


def _content(found: Report, form: str) -> str:
    forms = {"html": found.html, "md": found.markdown, "json": found.json}
    return forms[form]()


@contextmanager
def _working(kind: str) -> Iterator[None]:
    """Show that it is at work, where a person looks on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"writing the report {kind} …"):
        yield


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text, mode=READABLE_BY_ALL)
    except OSError as error:
        raise EnvironmentProblem(
            f"the report cannot be written: {error.strerror or error}", where=str(path),
            next_step="Name another file with --output FILE; nothing else was changed",
        ) from error
