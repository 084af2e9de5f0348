"""`changeover deploy`: a plan for workers on any machine, without `changeover up`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    home_option,
    pass_session,
    shared_option,
)
from changeover.cli.gateway import shared_store
from changeover.errors import InvalidInput, Unreachable
from changeover.site.home import STORE_VARIABLE, Home

if TYPE_CHECKING:
    from changeover.plan.model import Plan

API_VARIABLE = "PREFECT_API_URL"


@click.command("deploy", epilog="""
\b
Examples:
  export CHANGEOVER_STORE_URL=postgresql+psycopg://changeover:…@db.example/changeover
  export PREFECT_API_URL=http://prefect.example:4200/api
  changeover deploy --plan plans/shop.yaml --pool machines
  changeover deploy --plan plans/shop.yaml --pool cluster --job-variable image=registry/changeover:1
\b
Workers: `python -m flows.worker --pool machines` or `prefect worker start --pool machines`, with
the same two variables and nothing else. See docs/fleet.md.
""")
@shared_option("--plan", "plan_file", type=FILE, required=True,
               help="The migration's plan (YAML).")
@click.option("--pool", required=True, metavar="NAME", help="Work pool whose workers run flows.")
@click.option("--pool-type", default="process", show_default=True, metavar="TYPE",
              help="Type of the pool, if it is not there yet; one that is stays as it is.")
@click.option("--job-variable", "variables", multiple=True, metavar="NAME=VALUE",
              help="Job variable of every flow, as an image; can be given again.")
@click.option("--store", "store_url", envvar=STORE_VARIABLE, default="", metavar="URL",
              help=f"PostgreSQL database of the migration; default ${STORE_VARIABLE}.")
@click.option("--prefect-url", envvar=API_VARIABLE, default="", metavar="URL",
              help=f"API of Prefect's server; default ${API_VARIABLE}.")
@click.option("--take-over", "takes_over", is_flag=True,
              help="Flows on the server of another database, which is gone or was yours, become "
                   "this one's.")
@environment_option
@home_option
@pass_session
def deploy(session: Session, /, **asked: Any) -> int:
    """Save a plan, and deploy every flow for workers on any machine; safe to do again.

    The plan goes into the store, whose tables are made or brought up to date, blocks and
    deployments to Prefect's server. No address and no password of the database goes there.
    `changeover up`, where it runs, leaves the deployments in the pool from then on.
    """
    from changeover.plan import rules
    from changeover.site.elsewhere import is_home_here

    if not asked["prefect_url"]:
        raise InvalidInput(
            "nothing says where Prefect's server is", where="--prefect-url",
            allowed=f"the address of its API, as http://prefect.example:4200/api, or "
            f"${API_VARIABLE}")
    variables = job_variables(asked["variables"])
    plan, path = session.load_plan(), (session.plan_file or Path()).absolute()
    for warning in rules.warnings(plan):
        click.echo(f"note: {warning}")
    url = shared_store(asked["store_url"])
    store_id = _register(url, plan, path)
    click.echo(f"the plan of {plan.migration} is in the store")
    home = Home.resolve(session.home)
    is_here = is_home_here(str(home.root), plan.migration, store_id)
    here = ["--home", str(home.root)] if is_here else []
    command = [sys.executable, "-m", "blocks.prepare", *here, "--migration", plan.migration,
               "--pool", asked["pool"], "--pool-type", asked["pool_type"], "--elsewhere"]
    command += ["--job-variables", json.dumps(variables)]
    command += ["--take-over"] if asked["takes_over"] else []
    env = {**os.environ, STORE_VARIABLE: url, API_VARIABLE: asked["prefect_url"]}
    _prepare(command, env, asked["prefect_url"])
    _set_limits(asked["prefect_url"], plan.health.limits)
    click.echo(f"every flow is deployed in the work pool {asked['pool']}; its workers need "
               f"${STORE_VARIABLE} and ${API_VARIABLE}")
    return 0


def job_variables(given: Sequence[str]) -> dict[str, Any]:
    """Return job variables from texts as `image=registry/changeover:1`; a value may be JSON.

    Raises:
        InvalidInput: One of them is no NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, is_pair, value = text.partition("=")
        if not is_pair or not name.isidentifier():
            raise InvalidInput(
                f"{text!r} is no job variable", where="--job-variable",
                allowed="NAME=VALUE, as image=registry/changeover:1")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _register(url: str, plan: Plan, path: Path) -> str:
    """Save a plan in its store, and show what a person should know; return the store's own name."""
    from changeover.procedures.registering import register
    from changeover.store import identity
    from changeover.store.engine import Store

    store = Store.open(url, create=True)
    try:
        for note in register(store, plan, path):
            click.echo(f"note: {note}")
        return identity.of(store)
    finally:
        store.close()


def _prepare(command: list[str], env: dict[str, str], where: str) -> None:
    """Save blocks and deployments in a process of its own, which imports Prefect.

    Raises:
        Unreachable: It failed.
    """
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        # its last line says what could not be made
        last = done.stdout.strip().splitlines()[-1:] or lines[-1:]
        raise Unreachable(
            " ".join(last) or "Prefect could not be prepared", where=where,
            next_step="Mend it and run the command again; what was done stays")
    for line in done.stdout.splitlines():
        if line.startswith("note: "):
            click.echo(line)


def _set_limits(url: str, limits: dict[str, int]) -> None:
    from changeover.site.prefect_api import PrefectApi
    from changeover.site.site import PREFECT_SECONDS

    PrefectApi(url, timeout=PREFECT_SECONDS).set_limits(limits)
