"""`changeover store`: the database's tables, and who may do what to them."""

from __future__ import annotations

import click

from changeover.cli.bars import spinner
from changeover.cli.common import Session, home_option, output_option, pass_session
from changeover.domain.roles import ROLES
from changeover.errors import InvalidInput
from changeover.site.home import Home
from changeover.store.engine import Store, head_revision


@click.group("store")
def store_group() -> None:
    """Bring the database to this version; print the rights that each role needs."""


@store_group.command(epilog="\b\nExample:\n  changeover store upgrade --home .changeover")
@home_option
@pass_session
def upgrade(session: Session) -> None:
    """Bring the store's tables to this program's version."""
    # the same call that makes a new store: it brings an old one up to date
    url = Home.resolve(session.home).store_url
    with spinner("bringing the tables up to date"):
        store = Store.open(url, create=True)
    click.echo(f"{store.url} is up to date")
    store.close()


@store_group.command("grants", epilog="""
\b
Examples:
  changeover store grants --role node | psql postgresql://owner@db.example/changeover
  changeover store grants --role console --to shop_console
\b
Run it again after each `changeover store upgrade`: it takes away all rights on the tables and
gives those that are needed now. The role of PostgreSQL must exist.
""")
@click.option("--role", required=True, type=click.Choice(ROLES),
              help="Whose rights.")
@click.option("--to", metavar="NAME", help="The role of PostgreSQL; default: changeover_ROLE.")
@output_option
@pass_session
def grants(session: Session, role: str, to: str | None) -> None:
    """Print the SQL that gives a role of PostgreSQL what it needs of the store, and no more."""
    # it reads the definitions of all tables, which other commands need not
    from changeover.site import rights

    name = f"changeover_{role}" if to is None else to
    try:
        statements = rights.grants(role, name)
    except ValueError as error:
        raise InvalidInput(
            str(error), where="--to",
            allowed="a letter or _, then up to 62 letters, digits, _, $ or -") from None
    lines = [
        f"-- {rights.ROLES[role].whose}",
        f"-- tables of version {head_revision()}; to be run by their owner",
        f"-- before: CREATE ROLE \"{name}\" LOGIN PASSWORD '…';",
        "BEGIN;", *statements, "COMMIT;"]
    session.show("\n".join(lines), {
        "role": role, "to": name, "version": head_revision(), "statements": statements})
