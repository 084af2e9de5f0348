"""`changeover plan`: check a plan, export its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from changeover import clock
from changeover.cleanup import check_patterns
from changeover.cli import asking
from changeover.cli.amend import amend
from changeover.cli.bars import spinner
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    output_option,
    pass_session,
    site_command,
)
from changeover.cli.estimate import estimate
from changeover.errors import EXIT_FAILED, InvalidInput, InvalidPlan
from changeover.flags.snapshot import expired
from changeover.gateway import probe
from changeover.plan import rules, together
from changeover.plan.environments import Setting
from changeover.plan.load import load_plan, refuse_beside, settings_of
from changeover.plan.model import Plan, Stage
from changeover.plan.schema import plan_schema
from changeover.plan.units import format_duration, without_secrets
from changeover.procedures.target_kinds import unreachable_kinds


@click.group()
def plan() -> None:
    """Check plans, and teach editors to complete them."""


@plan.command(epilog="\b\nExamples:\n  changeover plan check plans/metadata.yaml\n"
              "  changeover plan check plans/metadata.yaml --sources\n"
              "  changeover plan check invoices.yaml --with orders.yaml   two plans of one group")
@click.argument("file", type=FILE)
@click.option("--sources", "is_asking", is_flag=True,
              help="Ask every external source once now, and show what it says; exit code 1 when "
              "one has no value.")
@click.option("--with", "beside", type=FILE, multiple=True, metavar="FILE",
              help="Another plan of the same group; all of them together are checked for circles.")
@output_option
@pass_session
def check(session: Session, file: Path, is_asking: bool, beside: tuple[Path, ...]) -> int:
    """Say whether a plan can work, in all its environments; every problem with its line.

    The systems are asked for their health page, to see whether they speak HTTP/1.1; they may be
    down. `changeover up` checks a plan of a group against those that its store knows.
    """
    found = load_plan(file)
    missing = _check_beside(file, found, beside)
    # an environment's overlay may break what is fine without it
    plans = [found, *(load_plan(file, name) for name in found.environments)]
    folder, spec = file.absolute().parent, found.rollback
    # the file system knows whether a root is a home directory: no rule of the plan alone does
    if wrong := check_patterns(spec.roots, spec.cleanup, base=folder):
        problems = [f"rollback: {problem}" for problem in wrong]
        raise InvalidPlan(str(file), problems)
    notes = rules.warnings(found)
    notes += expired(found.flags, clock.now().date())
    notes += missing
    # every environment may name a place of its own
    notes += dict.fromkeys(each for plan in plans for each in unreachable_kinds(plan))
    is_hidden = session.output == "json"
    # systems that do not answer are waited for
    with spinner("asking the systems", is_hidden=is_hidden):
        notes += filter(None, map(probe.note, probe.probe_all(plans)))
    lines = _plan_lines(file, found)
    lines += [f"  note: {note}" for note in notes]
    keys = [stage.key for stage in found.stages()]
    data: dict[str, Any] = {"migration": found.migration}
    data |= {"stages": keys, "notes": notes}
    with spinner("asking the sources", is_hidden=is_hidden):
        readings = asking.ask_every(plans, folder) if is_asking else []
    lines += [f"  {line}" for line in asking.lines(readings)]
    if is_asking:
        data["sources"] = asking.as_data(readings)
    session.show("\n".join(lines), data)
    is_wrong = any(each.reading.problem for each in readings)
    return EXIT_FAILED if is_wrong else 0


def _plan_lines(file: Path, plan: Plan) -> list[str]:
    """Return what is fine about a plan: its stages and its environments."""
    stages = plan.stages()
    lines = [f"{file}: fine, {len(stages)} stages"]
    for stage in stages:
        lines += _stage_lines(stage)
    for name in plan.environments:
        lines.append(f"  environment {name}: fine")
    return lines


def _check_beside(file: Path, plan: Plan, beside: Sequence[Path]) -> list[str]:
    """Check a plan against others of its group; return what a person should know.

    Raises:
        InvalidPlan: They cannot work together.
    """
    if not beside:
        return []
    others = [load_plan(each) for each in beside]
    problems = together.problems(plan, others, are_all=True)
    refuse_beside(file, plan, problems)
    return together.missing(plan, others)


def _stage_lines(stage: Stage) -> list[str]:
    """Return a stage for people: its soak, gates and approvals, whom it waits for, its hooks."""
    gates = ", ".join(stage.gates) or "none"
    soak = f"soak {format_duration(stage.soak)}"
    asked = f"{stage.approvers} approvals"
    if stage.reviews is not None:
        soak += f" reviewed every {format_duration(stage.reviews.every)}"
    lines = [f"  {stage.title}: {soak}, gates {gates}, {asked}"]
    if stage.waits_for:
        waits = " and ".join(wait.text for wait in stage.waits_for)
        lines.append(f"    waits for {waits}")
    if stage.hooks.text:
        lines.append(f"    hooks: {stage.hooks.text}")
    return lines


@plan.command("show", epilog="\b\nExamples:\n  changeover plan show plans/invoices.yaml\n"
              "  changeover plan show plans/invoices.yaml --env testing\n\b\n"
              "Precedence: the environment's value, else the plan's, else the default.")
@click.argument("file", type=FILE)
@environment_option
@output_option
@pass_session
def show_plan(session: Session, file: Path) -> None:
    """Print every value as an environment sees it, and who says it: it, the plan, a default."""
    environment = session.environment
    found = settings_of(file, environment)
    head = f"# {file}"
    if environment:
        head += f" in environment {environment}"
    lines = [head]
    # one long value must not push all the comments off the screen
    longest = max(len(_line(setting)) for setting in found)
    width = min(60, longest)
    for setting in found:
        comment = setting.source
        if setting.plan is not None:
            comment += f"; the plan says {_shown(setting.plan)}"
        lines.append(f"{_line(setting):{width}}  # {comment}")
    rows = [_as_data(setting) for setting in found]
    data = {"environment": environment, "settings": rows}
    session.show("\n".join(lines), data)


def _as_data(setting: Setting) -> dict[str, Any]:
    return {
        "path": setting.path, "value": _hidden(setting.value),
        "source": setting.source, "plan": _hidden(setting.plan),
    }


def _line(setting: Setting) -> str:
    return f"{setting.path}: {_shown(setting.value)}"


def _shown(value: Any) -> str:
    return json.dumps(_hidden(value), ensure_ascii=False)


def _hidden(value: Any) -> Any:
    """Return a value without the secrets that addresses may hold."""
    if isinstance(value, list):
        return [_hidden(part) for part in value]
    if isinstance(value, str):
        return without_secrets(value)
    return value


@plan.command(epilog="\b\nExample:\n  changeover plan schema > plan.schema.json")
def schema() -> None:
    """Print the JSON schema of plans."""
    click.echo(json.dumps(plan_schema(), indent=1))


@plan.command(epilog="\b\nExample:\n  changeover plan users pilots > plans/pilots.txt")
@click.argument("segment")
@site_command
def users(session: Session, *, segment: str) -> None:
    """Print the users that SEGMENT of the running plan lists in a file, one a line.

    These count, whatever the file says by now. So a file that was changed by mistake comes back.
    """
    specs = session.site.plan.routing.segments
    listed = {name: spec.users for name, spec in specs.items() if spec.listed is not None}
    if segment not in listed:
        known = ", ".join(listed) or "none, the plan has no segment with `file`"
        raise InvalidInput(f"segment {segment!r} lists no users in a file", allowed=known)
    found = sorted(listed[segment].values)
    session.show("\n".join(found), {"segment": segment, "users": found})


plan.add_command(estimate)
plan.add_command(amend)
