"""`changeover plan`: check a plan, export its schema."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from changeover.cli.common import environment_option, output_option, show
from changeover.plan import environments, rules
from changeover.plan.load import load_plan
from changeover.plan.schema import plan_schema
from changeover.plan.units import format_duration


@click.group()
def plan() -> None:
    """Check plans, and teach editors to complete them."""


@plan.command(epilog="\b\nExample:\n  changeover plan check plans/documents.yaml")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@output_option
def check(file: Path, output: str) -> None:
    """Say whether a plan can work, in all its environments; every problem with its line."""
    found = load_plan(file)
    for name in found.environments:
        load_plan(file, name)
    notes = rules.warnings(found)
    stages = found.stages()
    lines = [f"{file}: fine, {len(stages)} stages"]
    lines += [
        f"  {stage.title}: soak {format_duration(stage.soak)}, "
        f"gates {', '.join(stage.gates) or 'none'}, {stage.approvers} approvals"
        for stage in stages
    ]
    lines += [f"  environment {name}: fine" for name in found.environments]
    lines += [f"  note: {note}" for note in notes]
    show(output, "\n".join(lines), {
        "migration": found.migration, "stages": [stage.key for stage in stages], "notes": notes})


@plan.command("show", epilog="\b\nExamples:\n  changeover plan show plans/invoices.yaml\n"
              "  changeover plan show plans/invoices.yaml --env testing\n\b\n"
              "Precedence: the environment's value, else the plan's, else the default.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@environment_option
@output_option
def show_plan(file: Path, environment: str | None, output: str) -> None:
    """Print the plan as an environment sees it, and what the environment says instead."""
    base, found = (
        load_plan(file, name).model_dump(mode="json", by_alias=True, exclude_none=True,
                                         exclude={"environments", "environment"})
        for name in (None, environment)
    )
    changed = list(environments.overrides(base, found))
    lines = [f"# {path}: {was!r} in the plan, {now!r} in {environment}"
             for path, was, now in changed]
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
    show(output, "\n".join([*lines, text.rstrip()]), {
        "environment": environment, "plan": found,
        "overrides": [{"path": p, "plan": was, "environment": now} for p, was, now in changed]})


@plan.command(epilog="\b\nExample:\n  changeover plan schema > plan.schema.json")
def schema() -> None:
    """Print the JSON schema of plans."""
    click.echo(json.dumps(plan_schema(), indent=1))
