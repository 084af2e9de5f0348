"""The command's entry: all commands together, and errors as one clear message."""

from __future__ import annotations

import click

from changeover import __version__
from changeover.cli import (
    backup,
    cleanup,
    compare,
    decide,
    flags,
    look,
    plan,
    run,
    token,
    validate,
)
from changeover.errors import EXIT_INTERRUPTED, ChangeoverError


@click.group(epilog="""
\b
Examples:
  changeover demo                      a real cutover, approved by you in Prefect's page
  changeover demo --approve            the same, approved by itself
  changeover up --plan plans/own.yaml  start your own migration and keep it running
  changeover status                    where it stands
  changeover rollback --reason "..."   everyone back to the baseline, now
\b
Exit codes: 0 done or promoted, 1 failed, 2 wrong input, 3 rolled back, 4 refused,
5 the store cannot be used, 6 something does not answer, 7 the machine lacks something,
130 interrupted.
""")
@click.version_option(__version__)
def cli() -> None:
    """Move live traffic from an old system to a new one so safely that no user notices."""


for command in (
    run.demo, run.up, look.status_command, look.history, look.env, decide.approve, decide.enable,
    decide.advance, decide.disable,
    decide.rollback_command, decide.recover, decide.maintenance, decide.shadow_command,
    compare.divergences, compare.replay_command, validate.validate, plan.plan, look.store_group,
    backup.backup_group, cleanup.cleanup, flags.flags, flags.explain, token.token,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        result = cli.main(arguments, prog_name="changeover", standalone_mode=False)
    except ChangeoverError as error:
        click.echo(f"changeover: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("changeover: interrupted", err=True)
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0
