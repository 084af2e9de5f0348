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
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    output_option,
    pass_session,
)
from changeover.cli.estimate import estimate
from changeover.errors import EXIT_FAILED, InvalidPlan
from changeover.flags.snapshot import expired
from changeover.gateway import probe
from changeover.plan import rules, together
from changeover.plan.environments import Setting
from changeover.plan.load import load_plan, refuse_beside, settings_of
from changeover.plan.model import Plan, Stage
from changeover.plan.schema import plan_schema
from changeover.plan.units import format_duration, without_secrets


@click.group()
def plan() -> None:
    """Check plans, and teach editors to complete them."""


@plan.command(epilog="\b\nExamples:\n  changeover plan check plans/documents.yaml\n"
              "  changeover plan check plans/documents.yaml --sources\n"
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
    plans = [found, *(load_plan(file, name) for name in found.environments)]
    spec = found.rollback
    # the file system knows whether a root is a home directory: no rule of the plan alone does
    if wrong := check_patterns(spec.roots, spec.cleanup, base=file.absolute().parent):
        raise InvalidPlan(str(file), [f"rollback: {problem}" for problem in wrong])
    notes = rules.warnings(found) + expired(found.flags, clock.now().date()) + missing
    for answer in probe.probe_all(plans):
        if text := probe.note(answer):
            notes.append(text)
    stages = found.stages()
    lines = [f"{file}: fine, {len(stages)} stages"]
    for stage in stages:
        lines += _stage_lines(stage)
    lines += [f"  environment {name}: fine" for name in found.environments]
    lines += [f"  note: {note}" for note in notes]
    data: dict[str, Any] = {"migration": found.migration, "stages": [stage.key for stage in stages],
            "notes": notes}
    readings = asking.ask_every(plans, file.absolute().parent) if is_asking else []
    lines += [f"  {line}" for line in asking.lines(readings)]
    if is_asking:
        data["sources"] = asking.as_data(readings)
    session.show("\n".join(lines), data)
    return EXIT_FAILED if any(each.reading.problem for each in readings) else 0


def _check_beside(file: Path, plan: Plan, beside: Sequence[Path]) -> list[str]:
    """Check a plan against others of its group; return what a person should know.

    Raises:
        InvalidPlan: They cannot work together.
    """
    if not beside:
        return []
    others = [load_plan(each) for each in beside]
    refuse_beside(file, plan, together.problems(plan, others, are_all=True))
    return together.missing(plan, others)


def _stage_lines(stage: Stage) -> list[str]:
    """Return a stage for people: its soak, gates and approvals, whom it waits for, its hooks."""
    gates = ", ".join(stage.gates) or "none"
    lines = [f"  {stage.title}: soak {format_duration(stage.soak)}, gates {gates}, "
             f"{stage.approvers} approvals"]
    if stage.waits_for:
        lines.append(f"    waits for {' and '.join(wait.text for wait in stage.waits_for)}")
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
    lines = [f"# {file} in environment {environment}" if environment else f"# {file}"]
    # one long value must not push all the comments off the screen
    width = min(60, max(len(_line(setting)) for setting in found))
    for setting in found:
        was = "" if setting.plan is None else f"; the plan says {_shown(setting.plan)}"
        lines.append(f"{_line(setting):{width}}  # {setting.source}{was}")
    session.show("\n".join(lines), {
        "environment": environment, "settings": [_as_data(setting) for setting in found]})


def _as_data(setting: Setting) -> dict[str, Any]:
    return {"path": setting.path, "value": _hidden(setting.value), "source": setting.source,
            "plan": _hidden(setting.plan)}


def _line(setting: Setting) -> str:
    return f"{setting.path}: {_shown(setting.value)}"


def _shown(value: Any) -> str:
    return json.dumps(_hidden(value), ensure_ascii=False)


def _hidden(value: Any) -> Any:
    """Return a value without the secrets that addresses may hold."""
    if isinstance(value, list):
        return [_hidden(part) for part in value]
    return without_secrets(value) if isinstance(value, str) else value


@plan.command(epilog="\b\nExample:\n  changeover plan schema > plan.schema.json")
def schema() -> None:
    """Print the JSON schema of plans."""
    click.echo(json.dumps(plan_schema(), indent=1))


plan.add_command(estimate)
plan.add_command(amend)
