"""What commands share: the options for which migration, and the session that they are handed.

Starts at once: the store is imported by the first command that asks for the site.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from changeover.cli.saying import no_secret

if TYPE_CHECKING:
    from changeover.plan.model import Plan
    from changeover.site.site import Site

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass
class Session:
    """One call of a command: what the shared options say, and the migration that they name.

    Args:
        home: The home directory; None for `$CHANGEOVER_HOME` or `.changeover` here.
        is_home_typed: Whether it was named with `--home`, and not by the environment.
        migration: Name of the migration; None for the one that was started last.
        output: `text` for people or `json` for programs.
        store_url: PostgreSQL database with which a command works on any machine; None: the home's.
        plan_file: A plan that need not have been started.
        environment: One of the plan's environments.
    """

    home: Path | None = None
    is_home_typed: bool = False
    migration: str | None = None
    output: str = "text"
    store_url: str | None = None
    is_anywhere: bool = False
    plan_file: Path | None = None
    environment: str | None = None

    @cached_property
    def site(self) -> Site:
        """The migration on this machine, opened when it is first asked for.

        Raises:
            InvalidInput: Nothing was started with this home, or there is no such migration.
            StoreError: The store cannot be used.
        """
        # a second of imports: commands that need no store start at once
        from changeover.site.site import Site

        if self.is_anywhere:
            from changeover.cli import anywhere

            if url := anywhere.store_url(self):
                return anywhere.site(url, self.migration)
        return Site.open(self.home, self.migration)

    @property
    def actor(self) -> str:
        """Name of the person at the command line, for the audit."""
        return getpass.getuser()

    def load_plan(self) -> Plan:
        """Return the plan of the file that `--plan` names, for the `--env`.

        Raises:
            InvalidPlan: The file cannot be read, or is no plan.
        """
        from changeover.plan.load import load_plan

        return load_plan(self.plan_file or Path(), self.environment)

    def show(self, text: str, data: Any) -> None:
        """Print the text, or the data as JSON."""
        if self.output == "json":
            # times are written as text
            text = json.dumps(data, indent=1, default=str)
        click.echo(text)


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Hands a command its session, which the options below have filled."""


def _save(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Put an option's value into the session instead of handing it to the command."""
    session = context.ensure_object(Session)
    # a click option without a name of its own has no field here
    if parameter.name is not None:
        setattr(session, parameter.name, value)


def _save_home(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Save the home, and whether a person typed it."""
    _save(context, parameter, value)
    source = context.get_parameter_source(str(parameter.name))
    context.ensure_object(Session).is_home_typed = source is ParameterSource.COMMANDLINE


def shared_option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Return a decorator for an option whose value a field of the session holds."""
    return click.option(*names, expose_value=False, **{"callback": _save, **settings})


def _completed(kind: str) -> Callable[..., list[str]]:
    """Return what completes an option's value when Tab is pressed, imported only then."""
    def complete(*asked: Any) -> list[str]:
        from changeover.cli import completing

        found: list[str] = getattr(completing, kind)(*asked)
        return found

    return complete


home_option = shared_option(
    "--home", type=FOLDER, envvar="CHANGEOVER_HOME", callback=_save_home,
    help="Home directory of `changeover up`; default .changeover.")
migration_option = shared_option(
    "--migration", shell_complete=_completed("migrations"),
    help="Name of the migration; default: the one that was started last.")
environment_option = shared_option(
    "--env", "environment", shell_complete=_completed("environments"),
    help="One of the plan's environments, as testing or production.")
output_option = shared_option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Text for people or JSON for programs.")
unstarted_plan_option = shared_option(
    "--plan", "plan_file", type=FILE,
    help="A plan that was not started; default: the one that runs.")
reason_option = click.option(
    "--reason", default="by hand", show_default=True, callback=no_secret,
    help="Why, for the audit.")


def site_command(command: Command) -> Command:
    """Hand a command its session, and add `--home`, `--migration` and `--output`."""
    handed: Any = pass_session(command)
    # the decorator of click is not typed
    return home_option(migration_option(output_option(handed)))  # type: ignore[no-any-return]


def anywhere_command(command: Command) -> Command:
    """Do what `site_command` does, for one that needs no home: add `--store`, too."""
    option: Any = shared_option(
        "--store", "store_url", metavar="URL",
        help="PostgreSQL database of the migration: no home is needed; default, where there is "
        "none and --home is not given: $CHANGEOVER_STORE_URL.")
    handed: Any = site_command(_anywhere(command))
    return option(handed)  # type: ignore[no-any-return]


def _anywhere(command: Command) -> Command:
    @wraps(command)
    def call(session: Session, *given: Any, **named: Any) -> Any:
        session.is_anywhere = True
        return command(session, *given, **named)

    found: Any = call
    return found  # type: ignore[no-any-return]
