"""The command that shows what a clean-up would move, moves it, and brings it back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from changeover import cleanup as cleaning
from changeover import clock
from changeover.cleanup.start import candidate_start
from changeover.cli.common import environment_option, home_option, output_option, show
from changeover.errors import EXIT_FAILED, InvalidInput
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.plan.units import format_size
from changeover.site.site import Site

_SHOWN = 200


@click.command("cleanup", epilog="\b\nExamples:\n"
               "  changeover cleanup                      the list; moves nothing\n"
               "  changeover cleanup --plan plans/own.yaml --since 2026-03-01T08:00:00\n"
               "  changeover cleanup --yes                moves it to the quarantine by-hand\n"
               "  changeover cleanup --undo rollback-3    everything back to where it was\n"
               "\b\nWhat existed before the candidate started (or --since, UTC) is left.\n"
               "Exit codes: 0 done, 1 something that matches was left to you.")
@home_option
@output_option
@click.option("--plan", "file", type=click.Path(dir_okay=False, path_type=Path),
              help="A plan that was not started; default: the one that runs.")
@environment_option
@click.option("--since", type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
              help="When the candidate started, UTC; default: as far as is known.")
@click.option("--any-age", is_flag=True, help="Also what existed before the candidate started.")
@click.option("--yes", is_flag=True, help="Move what is listed to a quarantine.")
@click.option("--name", default="by-hand", show_default=True, help="Of the quarantine.")
@click.option("--undo", metavar="NAME", help="Bring everything of a quarantine back.")
def cleanup(
    home: Path | None, migration: str | None, output: str, file: Path | None,
    environment: str | None, since: datetime | None, any_age: bool, yes: bool, name: str,
    undo: str | None,
) -> int:
    """Show which of the candidate's files a rollback moves to quarantine; moves with --yes only."""
    if file is not None:
        plan, base, keep, start = load_plan(file, environment), file.absolute().parent, [], None
    else:
        found = Site.open(home, migration)
        plan, keep = found.plan, [found.home.root]
        base = found.folder
        start = candidate_start(found)
    if not plan.rollback.roots:
        raise InvalidInput("the plan has nothing to clean up", where="rollback.roots",
                           next_step="Give `roots` and `cleanup` under `rollback`")
    if undo is not None:
        return _undo(plan, undo, base, output)
    return _clean(plan, name if yes else None, output, {
        "since": since.replace(tzinfo=UTC) if since else start,
        "any_age": any_age or plan.rollback.any_age, "base": base, "keep": keep})


def _clean(plan: Plan, name: str | None, output: str, options: dict[str, Any]) -> int:
    """List, or move when there is a name."""
    spec = plan.rollback
    moved: list[str] = []
    if name is None:
        survey = cleaning.survey(spec.roots, spec.cleanup, **options)
    else:
        survey, moved = cleaning.quarantine(spec.roots, spec.cleanup, name=name, **options)
    known = cleaning.quarantines(spec.roots, base=options["base"])
    show(output, as_text(survey, moved, known, name), {
        "at": clock.now().isoformat(), "found": [each.path for each in survey.found],
        "refused": [{"path": each.path, "reason": each.reason} for each in survey.refused],
        "moved": moved, "quarantines": known})
    return EXIT_FAILED if survey.refused else 0


def as_text(
    survey: cleaning.Survey, moved: list[str], known: list[str], name: str | None
) -> str:
    """Return the list for people, what is left to them last."""
    lines = [f"{format_size(each.size):>8}  {each.path}"
             + (f" ({each.entries} entries)" if each.facts.is_folder else "")
             for each in survey.found[:_SHOWN]]
    if (more := len(survey.found) - _SHOWN) > 0:
        lines.append(f"and {more} more")
    lines += [f"left: {each.path} {each.reason}" for each in survey.refused[:_SHOWN]]
    total = format_size(sum(each.size for each in survey.found))
    if name is None:
        lines.append(f"{len(survey.found)} files and folders ({total}) would be moved, "
                     f"{len(survey.refused)} left; nothing was moved: --yes does it")
    else:
        lines.append(f"{len(moved)} files and folders are in quarantine {name}, "
                     f"{len(survey.refused)} were left; back with --undo {name}")
    return "\n".join([*lines, *([f"quarantines: {', '.join(known)}"] if known else [])])


def _undo(plan: Plan, name: str, base: Path, output: str) -> int:
    back = cleaning.bring_back(plan.rollback.roots, name, base=base)
    lines = [f"not back: {each.path}: {each.reason}" for each in back.refused]
    show(output, "\n".join([*lines, f"{len(back.restored)} files and folders are back"]), {
        "restored": back.restored,
        "refused": [{"path": each.path, "reason": each.reason} for each in back.refused]})
    return EXIT_FAILED if back.refused else 0
