"""`changeover console`: a console on another machine."""

from __future__ import annotations

import os
from typing import Any

import click

from changeover.cli.common import Session, home_option, pass_session
from changeover.cli.gateway import node_name, shared_store
from changeover.errors import InvalidInput
from changeover.plan import units
from changeover.site.home import STORE_VARIABLE, Home


@click.command("console", epilog="""
\b
Examples:
  export CHANGEOVER_STORE_URL=postgresql+psycopg://changeover:…@db.example/changeover
  export PREFECT_API_URL=https://prefect.example/api     to answer questions
  changeover console --migration shop --name desk-1
  changeover console --migration shop --name desk-2 --listen 0.0.0.0:8190
\b
SIGTERM and Ctrl-C end it. Beyond loopback every read needs a token, or somebody who signed in; put
TLS in front. Which actions it has: docs/console.md.
""")
@click.option("--store", "store_url", envvar=STORE_VARIABLE, default="", metavar="URL",
              help=f"PostgreSQL database of the migration; default ${STORE_VARIABLE}.")
@click.option("--name", required=True, help="Its name among the migration's consoles.")
@click.option("--migration", required=True, help="Name of the migration.")
@click.option("--listen", default="127.0.0.1:8190", show_default=True, metavar="ADDRESS",
              help="Where it is reached.")
@home_option
@pass_session
def console(session: Session, /, **asked: Any) -> int:
    """Serve the console on another machine: pages, reports, actions by the store.

    It shares nothing with the main machine but the database. Users are moved by the store, in
    which every gateway confirms that it follows.
    """
    from changeover.console.elsewhere import own_home, serve
    from changeover.site.service_main import log_to_stderr
    from changeover.store.engine import Store

    address = _address(asked["listen"])
    url, name = shared_store(asked["store_url"]), node_name(asked["name"])
    home = own_home(Home.resolve(session.home))
    # the process that renders pages finds the store by it
    os.environ[STORE_VARIABLE] = url
    log_to_stderr("console")
    serve(home, Store.open(url), asked["migration"], name, address)
    return 0


def _address(value: str) -> tuple[str, int]:
    try:
        return units.parse_address(units.normal_address(value))
    except ValueError as error:
        raise InvalidInput(str(error), where="--listen") from None
