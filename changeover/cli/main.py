"""The command's entry: all commands together, and errors as one clear message."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

from changeover import __version__
from changeover.errors import EXIT_INTERRUPTED, ChangeoverError

COMMANDS = {
    "demo": "run.demo", "up": "run.up", "status": "look.status_command",
    "history": "look.history", "env": "look.env", "approve": "decide.approve",
    "enable": "decide.enable", "advance": "decide.advance", "disable": "decide.disable",
    "rollback": "decide.rollback_command", "recover": "decide.recover",
    "maintenance": "decide.maintenance", "shadow": "decide.shadow_command",
    "divergences": "compare.divergences", "replay": "compare.replay_command",
    "validate": "validate.validate", "plan": "plan.plan", "store": "look.store_group",
    "backup": "backup.backup_group", "cleanup": "cleanup.cleanup", "flags": "flags.flags",
    "explain": "flags.explain", "token": "token.token",
}
"""Where each command is: read only when it is called, so that a rollback starts at once."""


class Commands(click.Group):
    """The group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        module, _, attribute = COMMANDS.get(cmd_name, "").partition(".")
        if not module:
            return None
        found: click.Command = getattr(import_module(f"changeover.cli.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; of an unknown one, which name is like it."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            like = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {like[0]!r}?" if like else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, epilog="""
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
