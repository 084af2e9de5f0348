"""`changeover flags` and `changeover explain`: what a flag is, for whom, since when, and why."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from changeover import clock
from changeover.cli.common import environment_option, home_option, output_option, show
from changeover.errors import InvalidInput
from changeover.flags import explain as explaining
from changeover.flags.by_hand import with_percent, with_value
from changeover.flags.evaluate import Evaluator
from changeover.flags.snapshot import expired
from changeover.flags.state import FlagState
from changeover.plan import yaml12
from changeover.plan.flags import as_document
from changeover.site.site import Site
from changeover.store import flags as stored


@click.command(epilog="\b\nExamples:\n  changeover explain user-7\n"
               "  changeover explain user-7 --attribute x-cohort=beta --flag use_open_ocr\n"
               "  changeover explain ''          a request without a key\n"
               "  changeover explain user-7 user-8   the key's header comes twice")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE",
              help="An attribute of the user, read as JSON if it is; a segment's is named as its "
              "header.")
@click.option("--flag", help="Only this flag; default: all.")
@environment_option
@home_option
@output_option
def explain(
    keys: tuple[str, ...], attributes: tuple[str, ...], flag: str | None,
    environment: str | None, home: Path | None, migration: str | None, output: str,
) -> None:
    """Say which system a user gets, what each flag is for them, and why."""
    found = Site.open(home, migration)
    snapshot = stored.snapshot(
        found.store, found.migration, _environment(found, environment))
    context = explaining.attributes(dict(_pair(text) for text in attributes), snapshot)
    told = explaining.explain(
        Evaluator(snapshot), keys, context, flag=flag, today=clock.now().date())
    show(output, explaining.as_text(told), told)


@click.group("flags")
def flags() -> None:
    """Look at flags and change them by hand; what differs from the plan shows as drift."""


@flags.command("list", epilog="\b\nExample:\n  changeover flags list --env testing")
@environment_option
@home_option
@output_option
def list_command(
    environment: str | None, home: Path | None, migration: str | None, output: str
) -> None:
    """Show every flag, what the plan says instead, and which have expired."""
    found = Site.open(home, migration)
    known = stored.read(found.store, found.migration, _environment(found, environment))
    notes = expired({name: flag.entry for name, flag in known.items()}, clock.now().date())
    lines = [f"{name}: {_short(flag.document)}" + (
        f"   (drift: the plan says {_short(flag.plan_document)}, {flag.changed_by} changed it)"
        if flag.has_drifted else "") for name, flag in known.items()]
    lines += [f"note: {note}" for note in notes]
    show(output, "\n".join(lines) or "the plan has no flags",
         {"flags": [_as_data(flag) for flag in known.values()], "notes": notes})


@flags.command("show", epilog="\b\nExample:\n  changeover flags show use_open_ocr")
@click.argument("name")
@environment_option
@home_option
@output_option
def show_command(
    name: str, environment: str | None, home: Path | None, migration: str | None, output: str
) -> None:
    """Show one flag with its variants, rules and version."""
    found = Site.open(home, migration)
    known = stored.read(found.store, found.migration, _environment(found, environment))
    if name not in known:
        raise InvalidInput(f"there is no flag {name!r}", allowed=", ".join(known) or "none")
    flag = known[name]
    text = yaml12.dump({name: flag.document}).rstrip()
    drift = f"\nthe plan says {_short(flag.plan_document)}" if flag.has_drifted else ""
    show(output, f"{text}\nversion {flag.version}, changed {flag.changed_at:%Y-%m-%d %H:%M:%S} "
         f"by {flag.changed_by}{drift}", _as_data(flag))


@flags.command("history", epilog="\b\nExample:\n  changeover flags history use_open_ocr")
@click.argument("name")
@home_option
@output_option
def history_command(name: str, home: Path | None, migration: str | None, output: str) -> None:
    """Show who changed a flag, when and why, from what to what."""
    found = Site.open(home, migration)
    changes = stored.history(found.store, found.migration, name)
    lines = [f"{one['at']:%Y-%m-%d %H:%M:%S} {one['environment'] or 'all'} {one['actor']}: "
             f"{_short(one['old'])} -> {_short(one['new'])} ({one['reason']})" for one in changes]
    show(output, "\n".join(lines) or f"flag {name} was never changed", changes)


def _changing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command that changes a flag."""
    for option in (
        output_option, home_option, environment_option,
        click.option("--version", "expected", type=int, help="Refuse when it is another one now."),
        click.option("--reason", required=True, help="Why; kept in the history."),
    ):
        command = option(command)
    return command


@flags.command("set", epilog="\b\nExamples:\n  changeover flags set enable_ai true --reason 'go'\n"
               "  changeover flags set log_level DEBUG --env testing --version 3 --reason 'bug 42'")
@click.argument("name")
@click.argument("value")
@_changing
def set_command(name: str, value: str, **options: Any) -> None:
    """Give everyone a value; the flag's rules end. VALUE is read as YAML: true, 0.05, WARNING."""
    wished = yaml12.argument(value, "VALUE")
    _change(name, lambda flag: as_document(with_value(name, flag.entry, wished)), options)


@flags.command("roll-out", epilog="\b\nExample:\n"
               "  changeover flags roll-out use_open_ocr 25 --reason 'stage 2'")
@click.argument("name")
@click.argument("percent")
@click.option("--variant", help="Which variant; default: the one besides the flag's default.")
@_changing
def roll_out(name: str, percent: str, variant: str | None, **options: Any) -> None:
    """Give a percentage of users a variant; other rules stay."""
    _change(name, lambda flag: as_document(
        with_percent(name, flag.entry, percent, variant)), options)


@flags.command("reset", epilog="\b\nExample:\n"
               "  changeover flags reset use_open_ocr --reason 'the test is over'")
@click.argument("name")
@_changing
def reset(name: str, **options: Any) -> None:
    """Go back to what the plan says."""
    _change(name, stored.to_plan, options)


def _change(name: str, wish: Callable[[FlagState], Any], options: dict[str, Any]) -> None:
    found = Site.open(options["home"], options["migration"])
    flag = stored.change(
        found.store, found.migration, name, wish, actor=getpass.getuser(),
        reason=options["reason"], now=clock.now(), expected_version=options["expected"],
        environment=_environment(found, options["environment"]))
    show(options["output"], f"{name}: {_short(flag.document)} (version {flag.version})",
         _as_data(flag))


def _environment(found: Site, wished: str | None) -> str:
    """Return the environment that a command is about: the plan's own by default.

    Raises:
        InvalidInput: The plan has no such environment.
    """
    if wished is not None and wished not in found.plan.environments:
        raise InvalidInput(
            f"environment {wished!r} is unknown", where="--env",
            allowed=", ".join(found.plan.environments) or "none, the plan has no environments")
    return wished or found.plan.environment or stored.BASE


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInput(f"{text!r} is no attribute", where="--attribute", allowed="NAME=VALUE")
    return name, value


def _short(document: Any) -> str:
    text = "nothing" if document is None else json.dumps(document, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _as_data(flag: FlagState) -> dict[str, Any]:
    return {"name": flag.name, "environment": flag.environment, "holds": flag.document,
            "plan": flag.plan_document, "has_drifted": flag.has_drifted, "version": flag.version,
            "changed_at": flag.changed_at.isoformat(), "changed_by": flag.changed_by}
