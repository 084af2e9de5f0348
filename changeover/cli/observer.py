"""`changeover observer`: a spare observer on another machine."""

from __future__ import annotations

from typing import Any

import click

from changeover.cli.common import Session, home_option, pass_session
from changeover.cli.gateway import node_name, shared_store
from changeover.errors import Refused
from changeover.site.home import STORE_VARIABLE, Home


@click.command("observer", epilog="""
\b
Examples:
  export CHANGEOVER_STORE_URL=postgresql+psycopg://changeover:…@db.example/changeover
  changeover observer --migration shop --name spare-1
\b
SIGTERM and Ctrl-C end it. One leads at a time, and the one of `changeover up` comes first: see
docs/fleet.md.
""")
@click.option("--store", "store_url", envvar=STORE_VARIABLE, default="", metavar="URL",
              help=f"PostgreSQL database of the migration; default ${STORE_VARIABLE}.")
@click.option("--prefect-url", envvar="PREFECT_API_URL", default="", metavar="URL",
              help="API of Prefect's server; default $PREFECT_API_URL. With it this observer also "
              "brings runs back whose process is gone, and starts what follows a rollback.")
@click.option("--name", required=True, help="Its name; no gateway of the migration has the same.")
@click.option("--migration", required=True, help="Name of the migration.")
@home_option
@pass_session
def observer(session: Session, /, **asked: Any) -> int:
    """Judge triggers and gates when the observer of `changeover up` does not.

    It waits until that one is killed, stands still or loses the database, and gives the lead back
    when it is there again. It shares nothing with the main machine but the database. Where there is
    no `changeover up` it leads; run two.
    """
    from changeover.observer.addresses import Addresses
    from changeover.observer.leading import Leading
    from changeover.observer.serving import serve
    from changeover.observer.spare import STORE_SECONDS, spare_site
    from changeover.site.service_main import log_to_stderr
    from changeover.store.engine import Store

    migration, name = asked["migration"], node_name(asked["name"])
    home = Home.resolve(session.home)
    home.create()
    if home.settings():
        raise Refused("not started because this home belongs to `changeover up` or to a node",
                      where=str(home.root), next_step="Give the observer its own with --home DIR")
    log_to_stderr("observer")
    store = Store.open(shared_store(asked["store_url"]), timeout=STORE_SECONDS)
    serve(Leading.of(store, migration, name), lambda: spare_site(home, store, migration, name),
          addresses=Addresses(store, migration, home.gateway_files), api_url=asked["prefect_url"])
    return 0
