"""The command that shows what a clean-up would move, moves it, and brings it back."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

import click

from changeover import cleanup as cleaning
from changeover import clock
from changeover.cleanup import Cleanup
from changeover.cleanup.start import candidate_start
from changeover.cli.bars import spinner
from changeover.cli.common import (
    Session,
    environment_option,
    site_command,
    unstarted_plan_option,
)
from changeover.errors import EXIT_FAILED, InvalidInput
from changeover.plan.units import format_size

_SHOWN = 200
"""Lines that a person may still read; JSON has all."""


@click.command("cleanup", epilog="\b\nExamples:\n"
               "  changeover cleanup                      the list; moves nothing\n"
               "  changeover cleanup --plan plans/own.yaml --since 2026-03-01T08:00:00\n"
               "  changeover cleanup --yes                moves it to the quarantine by-hand\n"
               "  changeover cleanup --undo rollback-3    everything back to where it was\n"
               "\b\nWhat existed before the candidate started (or --since, UTC) is left.\n"
               "Exit codes: 0 done, 1 something that matches was left to you.")
@site_command
@unstarted_plan_option
@environment_option
@click.option("--since", type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
              help="When the candidate started, UTC; default: as far as is known.")
@click.option("--any-age", is_flag=True, help="Also what existed before the candidate started.")
@click.option("--yes", is_flag=True, help="Move what is listed to a quarantine.")
@click.option("--name", default="by-hand", show_default=True, help="Of the quarantine.")
@click.option("--undo", metavar="NAME", help="Bring everything of a quarantine back.")
def cleanup(
    session: Session, *, since: datetime | None, any_age: bool, yes: bool, name: str,
    undo: str | None,
) -> int:
    """Show which of the candidate's files a rollback moves to quarantine; moves with --yes only."""
    task = _task_of(session)
    if not task.roots:
        raise InvalidInput(
            "the plan has nothing to clean up", where="rollback.roots",
            next_step="Give `roots` and `cleanup` under `rollback`")
    if undo is not None:
        return _undo(session, task, undo)
    if since is not None:
        task = replace(task, since=since.replace(tzinfo=UTC))
    task = replace(task, any_age=any_age or task.any_age)
    return _clean(session, task, name if yes else None)


def _task_of(session: Session) -> Cleanup:
    """Return what the plan says: that of the file, else that of the running migration."""
    # a plan that was not started: nobody knows when its candidate started, so all is left
    if session.plan_file is not None:
        spec = session.load_plan().rollback
        folder = session.plan_file.absolute().parent
        return Cleanup.of(spec, base=folder, since=None)
    site = session.site
    # the home holds the store and the gateway's files, and may lie below a root
    spared = site.home.spared()
    since = candidate_start(site)
    return Cleanup.of(
        site.plan.rollback, base=site.folder, since=since, spared=spared)


def _clean(session: Session, task: Cleanup, name: str | None) -> int:
    """List, or move when there is a name."""
    moved: list[str] = []
    doing = "looking for files" if name is None else "moving files"
    with spinner(doing, is_hidden=session.output == "json"):
        if name is None:
            survey = cleaning.survey(task)
        else:
            survey, moved = cleaning.quarantine(task, name)
    known = cleaning.quarantines(task.roots, base=task.base)
    found = [each.path for each in survey.found]
    refused = [asdict(each) for each in survey.refused]
    session.show(as_text(survey, moved, known, name), {
        "at": clock.now().isoformat(), "found": found,
        "refused": refused, "moved": moved, "quarantines": known,
    })
    # a person has something to do: the exit code says so to scripts
    return EXIT_FAILED if survey.refused else 0


def as_text(
    survey: cleaning.Survey, moved: list[str], known: list[str], name: str | None
) -> str:
    """Return the list for people, what is left to them last."""
    found, refused = survey.found, survey.refused
    lines = []
    for each in found[:_SHOWN]:
        line = f"{format_size(each.size):>8}  {each.path}"
        # a folder is moved with all that it holds
        if each.facts.is_folder:
            line += f" ({each.entries} entries)"
        lines.append(line)
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more")
    lines += [f"left: {each.path} {each.reason}" for each in refused[:_SHOWN]]
    total = format_size(sum(each.size for each in found))
    if name is None:
        would = f"{len(found)} files and folders ({total}) would be moved"
        left = f"{len(refused)} left"
        lines.append(f"{would}, {left}; nothing was moved: --yes does it")
    else:
        done = f"{len(moved)} files and folders are in quarantine {name}"
        left = f"{len(refused)} were left"
        lines.append(f"{done}, {left}; back with --undo {name}")
    if known:
        lines.append(f"quarantines: {', '.join(known)}")
    return "\n".join(lines)


def _undo(session: Session, task: Cleanup, name: str) -> int:
    with spinner("bringing files back", is_hidden=session.output == "json"):
        back = cleaning.bring_back(task.roots, name, base=task.base)
    lines = [f"not back: {each.path}: {each.reason}" for each in back.refused]
    lines.append(f"{len(back.restored)} files and folders are back")
    refused = [asdict(each) for each in back.refused]
    data = {"restored": back.restored, "refused": refused}
    session.show("\n".join(lines), data)
    return EXIT_FAILED if back.refused else 0
