"""`changeover export`: tables for analysts, as files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from changeover import clock
from changeover.cli.bars import is_shown, several
from changeover.cli.common import (
    FOLDER,
    Session,
    home_option,
    migration_option,
    pass_session,
)
from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.frames.columns import TABLES

if TYPE_CHECKING:
    from changeover.frames.rows import Wanted

FORMATS = ("csv", "parquet")


def parse_moment(text: str, where: str, now: datetime) -> datetime:
    """Return a moment: an ISO time (UTC unless it has a zone), a date, or how long ago, as 7d.

    Raises:
        InvalidInput: It is none of these.
    """
    from changeover.plan.units import parse_duration

    try:
        return now - parse_duration(text)
    except ValueError:
        pass  # no duration: a time, then
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        allowed = "a time as 2026-03-01T08:00:00, a date, or how long ago, as 7d"
        raise InvalidInput(f"{text!r} is no time", where=where, allowed=allowed) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.command("export", epilog="""
\b
Examples:
  changeover export --output exported
  changeover export samples comparisons --since 7d --output exported --format parquet
  changeover export audit --since 2026-03-01 --until 2026-04-01 --output march
  changeover export outcomes --with-keys --output exported --force
\b
Tables, columns, units and types: docs/frames.md. A file is written as a whole or not at all.
In CSV, a text that a spreadsheet would take for a formula gets an apostrophe before it.
Exit codes: 0 written, 2 a file is there already or wrong input, 5 the store cannot be used,
7 the folder cannot be written, or what writes Parquet is not installed.
""")
@click.argument("tables", nargs=-1, metavar="[TABLE]...", type=click.Choice(list(TABLES)))
@home_option
@migration_option
@click.option("--output", "folder", type=FOLDER, required=True, help="Folder for the files.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True,
              help="Parquet needs `pip install 'changeover[parquet]'`.")
@click.option("--since", metavar="TIME", help="From when on: a time, a date, or 7d (ago).")
@click.option("--until", metavar="TIME", help="Until when, excluded; default: now.")
@click.option("--seconds", is_flag=True,
              help="Samples of seconds, as long as they are kept; default: of minutes.")
@click.option("--with-keys", is_flag=True,
              help="Also what may say which user something was about: paths, ids, examples.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--json", "is_json", is_flag=True, help="Say what was written as JSON.")
@pass_session
def export(session: Session, /, tables: tuple[str, ...], **asked: Any) -> None:
    """Write verdicts, samples, comparisons, outcomes and the audit as files for analysts."""
    from changeover.frames import writing

    # `--output` is the folder here
    session.output = "json" if asked["is_json"] else "text"
    writing.check_format(asked["form"])
    wanted = _wanted(session, asked)
    folder: Path = asked["folder"]
    names = list(dict.fromkeys(tables)) or list(TABLES)
    paths = {name: folder / f"{name}.{asked['form']}" for name in names}
    if not asked["force"]:
        writing.refuse_existing(paths.values())
    _make(folder)
    rows = {}
    for name, path in paths.items():
        rows[name] = _write(session, name, path, wanted)
    lines = [f"{paths[name]}: {number} rows" for name, number in rows.items()]
    data = {"folder": str(folder), "format": asked["form"], "rows": rows}
    session.show("\n".join(lines), data)


def _wanted(session: Session, asked: dict[str, Any]) -> Wanted:
    from changeover.frames.rows import MINUTE, Wanted

    now, span = clock.now(), {}
    for name in ("since", "until"):
        text = asked[name]
        span[name] = parse_moment(text, f"--{name}", now) if text else None
    since, until = span["since"], span["until"]
    if since and until and since >= until:
        raise InvalidInput(
            f"nothing is between {since.isoformat()} and {until.isoformat()}",
            where="--until", allowed="a later time than --since")
    site = session.site
    return Wanted(
        site.store, site.migration, since, until, asked["with_keys"],
        resolution=1 if asked["seconds"] else MINUTE)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the folder cannot be made: {error.strerror or error}", where=str(folder),
            next_step="Give another with --output DIR") from error


def _write(session: Session, name: str, path: Path, wanted: Wanted) -> int:
    """Write one table; return the number of its rows."""
    from changeover.frames import writing
    from changeover.frames.rows import parts
    from changeover.store import exporting

    columns = TABLES[name].shown(with_keys=wanted.with_keys)
    writer = writing.WRITERS[path.suffix.removeprefix(".")]
    done, total = 0, 0
    # of a part of the time nobody knows how many there are
    if is_shown() and wanted.span == (None, None):
        total = exporting.count(wanted.store, wanted.migration, name)
    with several(unit="rows", is_hidden=session.output == "json") as report:

        def count(number: int) -> None:
            nonlocal done
            done += number
            report(name, done, total)

        with writing.replaced(path) as beside:
            return writer(beside, columns, parts(name, wanted), count)
