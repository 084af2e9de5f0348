"""`changeover plan`: check a plan, export its schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from changeover.cli.common import output_option, show
from changeover.plan import rules
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
    """Say whether a plan can work; every problem with its line (exit code 2)."""
    found = load_plan(file)
    notes = rules.warnings(found)
    stages = found.stages()
    lines = [f"{file}: fine, {len(stages)} stages"]
    lines += [
        f"  {stage.title}: soak {format_duration(stage.soak)}, "
        f"gates {', '.join(stage.gates) or 'none'}, {stage.approvers} approvals"
        for stage in stages
    ]
    lines += [f"  note: {note}" for note in notes]
    show(output, "\n".join(lines), {
        "migration": found.migration, "stages": [stage.key for stage in stages], "notes": notes})


@plan.command(epilog="\b\nExample:\n  changeover plan schema > plan.schema.json")
def schema() -> None:
    """Print the JSON schema of plans."""
    click.echo(json.dumps(plan_schema(), indent=1))
