"""What every command shares: the home option, output for people or programs. Starts at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home` and `--migration`."""
    command = click.option(
        "--migration", help="Name of the migration; default: the one that was started last."
    )(command)
    return click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), envvar="CHANGEOVER_HOME",
        help="Home directory of `changeover up`; default .changeover.",
    )(command)


def environment_option(command: Command) -> Command:
    """Add `--env`."""
    return click.option(
        "--env", "environment", help="One of the plan's environments, as testing or production."
    )(command)


def output_option(command: Command) -> Command:
    """Add `--output`."""
    return click.option(
        "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="Text for people or JSON for programs.",
    )(command)


def show(output: str, text: str, data: Any) -> None:
    """Print the text, or the data as JSON."""
    click.echo(json.dumps(data, indent=1, default=str) if output == "json" else text)
