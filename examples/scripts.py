"""What the examples that are scripts share: lines with the time, and exit codes of errors."""

from __future__ import annotations

import time

import click

from changeover.errors import ChangeoverError


def show(text: str) -> None:
    """Print a line with the time of day."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")


def exit_code(command: click.Command) -> int:
    """Run a script's command and return its exit code; an error is one line."""
    try:
        return int(command.main(standalone_mode=False) or 0)
    except ChangeoverError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
