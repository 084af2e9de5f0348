"""`changeover demo`: a migration of `examples/` from its first step to its last."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import click

from changeover.cli.common import FOLDER
from changeover.errors import EnvironmentProblem, Refused
from changeover.plan.faster import leaves_out
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.supervisor import examples
from changeover.supervisor.child import Child
from changeover.supervisor.demo import Demo, WantedFault
from changeover.supervisor.examples import Example, Prepared
from changeover.supervisor.stack import Stack
from changeover.supervisor.staging import Wanted, stage
from changeover.supervisor.up import kept, running


@click.command(epilog="""
\b
Examples:
  changeover demo                                   the quick one; approve in Prefect's page
  changeover demo --approve                         nobody has to do anything
  changeover demo --approve --fault errors@50       see the automatic rollback (exit code 3)
  changeover demo chat --approve                    a migration of months, in minutes
  changeover demo --list                            every migration, and what can go wrong in it
""")
@click.argument("name", default=examples.USUAL, shell_complete=lambda *_: examples.names())
@click.option("--list", "lists", is_flag=True,
              help="Say which migrations there are and what can go wrong in each.")
@click.option("--approve", is_flag=True, help="Answer the approvals by itself.")
@click.option("--fault", metavar="KIND@STAGE",
              help="Have something go wrong in a stage; --list names the kinds.")
@click.option("--speed", type=float,
              help="How many times as fast as the plan says; default: the migration's own.")
@click.option("--rate", type=click.FloatRange(min=0.1, max=5000),
              help="Users' requests per second; default: the migration's own.")
@click.option("--users", type=click.IntRange(min=1, max=1_000_000),
              help="Distinct users; default: the migration's own.")
@click.option("--prefect-port", type=int,
              help="Port of Prefect's server; default: 4200, or another.")
@click.option("--console-port", type=int, help="Port of the console; default: 8190, or another.")
@click.option("--reports-port", type=int, help="Port of the reports; default: 8180, or another.")
@click.option("--env", "environment", help="One of the plan's environments, as testing.")
@click.option("--home", type=FOLDER, default=".changeover-demo", show_default=True,
              help="Folder of all its files; emptied at the start.")
def demo(
    name: str, home: Path, *, lists: bool, approve: bool, fault: str | None, **wanted: Any
) -> int:
    """Run a whole migration on this machine: Prefect, Envoy, two systems, users' requests.

    NAME is one of the migrations that --list shows.

    Exit code 0: promoted; 3: rolled back; 1: failed. Nothing is left running.
    """
    if lists:
        _list()
        return 0
    example = examples.load(name)
    prepared = examples.prepare(
        name, example, speed=wanted.pop("speed"), environment=wanted.pop("environment"))
    # before anything is touched: a misspelt fault is no reason to wait for a start
    trouble = WantedFault.parse(fault, prepared.plan, example.faults) if fault else None
    place = fresh_home(home)
    staged = stage(place, name, example, prepared, Wanted(**wanted))
    _introduce(name, example, prepared)
    stack = Stack(place, staged.plan, staged.settings, _show)
    # until users' requests begin, from the first process on
    began = time.monotonic()
    with running(stack) as store, kept(stack.keeper):
        try:
            staged.admit(store)
            staged.load.start()
            _show(f"ready after {time.monotonic() - began:.0f} s; Prefect: {stack.ui_url}  "
                  f"Console: {stack.console_url}")
            site = Site(place, staged.plan, store)
            return Demo(site, _show, approves=approve, fault=trouble, faults=staged.faults).run()
        finally:
            staged.load.end()


def _introduce(name: str, example: Example, prepared: Prepared) -> None:
    _show(f"{name}: {example.about}")
    if prepared.speed != 1:
        left_out = ", without its windows of the week" if leaves_out(prepared.original) else ""
        _show(f"the plan's calendar runs {prepared.speed:,.0f} times as fast{left_out}")


def _list() -> None:
    """Show every migration and what can go wrong in it."""
    for name in examples.names():
        example = examples.described(name)
        click.echo(f"{name}: {example.about}")
        if (lacking := example.needs()) is not None:
            click.echo(f"  not here yet: {lacking}")
        for kind, fault in example.faults.items():
            click.echo(f"  --fault {kind + '@STAGE':<24} {fault.about}")


def _show(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")


def fresh_home(path: Path) -> Home:
    """Empty what an earlier demo left, and nothing else."""
    home = Home(path)
    if home.root.exists() and any(home.root.iterdir()):
        settings = home.settings()
        if not settings:
            # removing a folder that only looks like a demo's would be the worst start
            raise EnvironmentProblem(
                "the directory is not empty and not a demo's",
                where=str(home.root), next_step="Give another with --home")
        entry = settings.get("supervisor") or {}
        other = Child("supervisor", [], Path())
        if entry and other.adopt(entry["pid"], entry["created"]):
            raise Refused(
                f"not started because it runs already (process {entry['pid']})",
                where=str(home.root),
                next_step="End it with Ctrl-C, or give another --home")
        for name, known in settings.get("processes", {}).items():
            left = Child(name, [], Path())
            # of a demo that was killed: they would hold the ports and write into the new home
            if left.adopt(known["pid"], known["created"]):
                left.end()
        shutil.rmtree(home.root)
    home.create()
    return home
