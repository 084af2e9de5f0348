"""What every command shares: the home option, output for people or programs, connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from changeover.gateway import publish
from changeover.gateway.publish import Gateway
from changeover.home import Home
from changeover.observer.prefect_api import PATIENT_SECONDS, PrefectApi
from changeover.plan.model import Plan
from changeover.store import plans
from changeover.store.engine import Store

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Connections:
    """A migration's store, plan, gateway and Prefect, for one command."""

    home: Home
    store: Store
    plan: Plan

    @classmethod
    def open(cls, home: Path | None, migration: str | None = None) -> Connections:
        """Connect to what `changeover up` started with this home.

        Raises:
            InvalidInput: Nothing was started with it, or there is no such migration.
            StoreError: The store cannot be used.
        """
        found = Home.resolve(home)
        settings = found.require_settings()
        store = Store.open(found.store_url)
        return cls(found, store, plans.load(store, migration or settings.get("migration")))

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return Gateway(self.home.gateway_files, patience=publish.PATIENT_SECONDS)

    @property
    def prefect(self) -> PrefectApi:
        """Prefect's API."""
        url = str(self.home.settings().get("api_url"))
        return PrefectApi(url, timeout=PATIENT_SECONDS)


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
