"""`changeover demo` and `changeover up`."""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import click

from changeover import telemetry
from changeover.cli.common import (
    FILE,
    FOLDER,
    Session,
    environment_option,
    home_option,
    pass_session,
    shared_option,
)
from changeover.errors import EnvironmentProblem, InvalidInput, Refused
from changeover.machine.ports import free_port, is_free
from changeover.plan import rules, units
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.supervisor.child import Child
from changeover.supervisor.demo import FAULT_VARIABLE, FAULTS, Demo, Fault, load_child
from changeover.supervisor.handing_over import hand_over
from changeover.supervisor.keeper import PROJECT
from changeover.supervisor.stack import Settings, Stack
from changeover.supervisor.up import kept, running

DEMO_PLAN = PROJECT / "plans" / "documents.yaml"
DEMO_PORTS = (8100, 8101, 8102)


@click.command(epilog="""
\b
Examples:
  changeover demo                              approve in Prefect's page
  changeover demo --approve                    nobody has to do anything
  changeover demo --approve --fault errors@50  see the automatic rollback (exit code 3)
""")
@click.option("--approve", is_flag=True, help="Answer the approvals by itself.")
@click.option("--fault", metavar="KIND@STAGE",
              help=f"Have the candidate misbehave in a stage; KIND: {', '.join(FAULTS)}.")
@click.option("--rate", default=50.0, show_default=True, help="Users' requests per second.")
@click.option("--users", default=300, show_default=True, help="Distinct users.")
@click.option("--home", type=FOLDER, default=".changeover-demo", show_default=True,
              help="Folder of all its files; emptied at the start.")
def demo(*, approve: bool, fault: str | None, rate: float, users: int, home: Path) -> int:
    """Run a real cutover on this machine: Prefect, Envoy, two systems, users' requests.

    Exit code 0: promoted; 3: rolled back; 1: failed. Nothing is left running.
    """
    place = _fresh_home(home)
    plan, path = _demo_plan(place)
    # before anything is started: a misspelt fault is no reason to wait for a start
    wanted = Fault.parse(fault, plan) if fault else None
    token = secrets.token_urlsafe(24)
    settings = Settings(
        path, _port(4200), _port(8180), f"127.0.0.1:{_port(8190)}",
        system_env={FAULT_VARIABLE: token})
    stack = Stack(place, plan, settings, _show)
    load = load_child(place, plan, rate, users)
    # until users' requests begin, from the first process on
    began = time.monotonic()
    with running(stack) as store, kept(stack.keeper):
        try:
            load.start()
            took = time.monotonic() - began
            _show(f"ready after {took:.0f} s; Prefect: {stack.ui_url}")
            site = Site(place, plan, store)
            shown = Demo(
                site, _show, approves=approve, fault=wanted, token=token)
            return shown.run()
        finally:
            load.end()


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse what is no address before anything is started."""
    try:
        units.parse_address(value)
    except ValueError as error:
        raise InvalidInput(str(error), where="--console") from None
    return value


@click.command(epilog="""
\b
Example:
  changeover up --plan plans/invoices.yaml
  eval "$(changeover env)"; prefect deployment run cutover/main
""")
@shared_option("--plan", "plan_file", type=FILE, required=True,
               help="The migration's plan (YAML).")
@home_option
@click.option("--prefect-port", default=4200, show_default=True, help="Port of Prefect's server.")
@click.option("--reports-port", default=8180, show_default=True, help="Port of the reports.")
@click.option("--console", default="127.0.0.1:8190", show_default=True, callback=_address,
              help="Address of the console; beyond loopback every read needs a token, too.")
@click.option("--prefect-url", help="API of a Prefect server that runs already.")
@environment_option
@click.option("--store", "store_url", help="Database URL; default SQLite in the home directory.")
@pass_session
def up(session: Session, /, store_url: str | None, **addresses: Any) -> int:
    """Start everything for a migration and keep it running until Ctrl-C.

    A second `up` continues where the first was stopped: nothing is decided twice.
    """
    plan, path = session.load_plan(), session.plan_file or Path()
    home = Home.resolve(session.home)
    home.create()
    for warning in [*rules.warnings(plan), *_not_told(plan)]:
        _show(f"note: {warning}")
    stack = Stack(home, plan, Settings(path.absolute(), **addresses), _show)
    # before anything is written: another `up` may run with this home and its own store
    stack.refuse_second()
    if store_url:
        home.save_secrets({**home.secrets(), "store_url": store_url})
    with running(stack) as store:
        users = f"Users: http://{plan.routing.listen}"
        pages = f"Prefect: {stack.ui_url}  Console: {stack.console_url}"
        _show(f"ready. {users}  {pages}")
        _show('run: eval "$(changeover env)"; prefect deployment run cutover/main')
        # restarting what ends, which is all that follows, needs no store
        store.close()
        hand_over(stack.keeper)
        with kept(stack.keeper):  # where that cannot be done
            while True:
                time.sleep(1)


def _not_told(plan: Plan) -> list[str]:
    """Return who will not hear of anything, because the environment here lacks something."""
    from changeover.notify.webhooks import problem_of

    found = [telemetry.problem()] if telemetry.problem() else []
    for name, spec in plan.webhooks.items():
        if problem := problem_of(spec):
            found.append(f"webhook {name}: {problem}")
    return found


def _show(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")


def _fresh_home(path: Path) -> Home:
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


def _demo_plan(home: Home) -> tuple[Plan, Path]:
    """Return the demo's plan, moved to free ports where its own are taken."""
    text = DEMO_PLAN.read_text()
    for port in DEMO_PORTS:
        if not is_free("127.0.0.1", port):
            text = text.replace(str(port), str(free_port()))
    path = home.root / DEMO_PLAN.name
    path.write_text(text)
    plan = parse_plan(text, str(path))
    return plan, path


def _port(wanted: int) -> int:
    return wanted if is_free("127.0.0.1", wanted) else free_port()
