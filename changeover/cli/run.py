"""`changeover up`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from changeover import telemetry
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    home_option,
    pass_session,
    shared_option,
)
from changeover.errors import InvalidInput
from changeover.gateway import reaching
from changeover.plan import rules, units
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.supervisor.handing_over import hand_over
from changeover.supervisor.stack import Settings, Stack
from changeover.supervisor.up import kept, running


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse what is no address before anything is started."""
    try:
        units.parse_address(value)
    except ValueError as error:
        raise InvalidInput(str(error), where="--console") from None
    return value


def _api(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address of an API; a password belongs in the environment."""
    if value is None:
        return None
    found = urlsplit(value)
    # never repeated in a message: it may hold a password
    if found.scheme not in ("http", "https") or not found.hostname or "@" in found.netloc:
        raise InvalidInput(
            "no address of Prefect's API", where="--prefect-url",
            allowed="an address as http://prefect.example:4200/api, without a password",
            next_step="Give the password as PREFECT_API_AUTH_STRING in the environment")
    return value.rstrip("/")


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
@click.option("--prefect-url", metavar="URL", callback=_api,
              help="API of a Prefect server that runs already (http://HOST:4200/api); none is "
                   "started here. Its password: PREFECT_API_AUTH_STRING in the environment.")
@click.option("--no-worker", is_flag=True,
              help="Start no worker here: `python -m flows.worker --pool changeover` elsewhere.")
@click.option("--take-over", "takes_over", is_flag=True,
              help="Flows on the server of another database, which is gone or was yours, become "
                   "this one's.")
@environment_option
@click.option("--store", "store_url", help="Database URL; default SQLite in the home directory.")
@pass_session
def up(session: Session, /, store_url: str | None, *, no_worker: bool, **addresses: Any) -> int:
    """Start everything for a migration and keep it running until Ctrl-C.

    A second `up` continues where the first was stopped: nothing is decided twice.
    """
    plan, path = session.load_plan(), session.plan_file or Path()
    home = Home.resolve(session.home)
    home.create()
    for warning in [*rules.warnings(plan), *_not_told(plan)]:
        _show(f"note: {warning}")
    settings = Settings(
        path.absolute(), **addresses, has_worker=not no_worker, store_url=store_url)
    stack = Stack(home, plan, settings, _show)
    with running(stack) as store:
        users = f"Users: {reaching.gateway_address(plan)}"
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
    from changeover.notify.teams import unreachable
    from changeover.notify.webhooks import problem_of

    found = [telemetry.problem()] if telemetry.problem() else []
    found += unreachable(plan)
    for name, spec in plan.webhooks.items():
        if problem := problem_of(spec):
            found.append(f"webhook {name}: {problem}")
    return found


def _show(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")
