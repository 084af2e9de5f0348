"""`changeover gateway`: a gateway on another machine."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path
from typing import Any

import click
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from changeover.analysis.window import MAIN_GATEWAY
from changeover.cli.common import Session, home_option, pass_session
from changeover.errors import InvalidInput, Refused
from changeover.plan import units
from changeover.site.home import STORE_VARIABLE, Home

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
SHARED = "postgresql+psycopg://USER:PASSWORD@HOST/NAME"


@click.command("gateway", epilog="""
\b
Examples:
  export CHANGEOVER_STORE_URL=postgresql+psycopg://edge:…@db.example/changeover
  changeover gateway --migration shop --name edge-1 --listen 0.0.0.0:8100
  changeover gateway --migration shop --name edge-2 --ready 0.0.0.0:8099 --drain 20s
  export CHANGEOVER_BREAK_GLASS_TOKEN_FILE=/etc/changeover/token
  changeover gateway --migration shop --name edge-3 --break-glass 10.0.0.3:8102
  changeover gateway --migration shop --name edge-4 --shadow
\b
Load balancers ask GET /ready (200: send users here, 503: do not) with a time limit of a second or
two. SIGTERM and Ctrl-C drain; a second one ends at once. Exit code: 0 at such an end, 4 when
another node has the name, 10 when one took it, as a copy of this home: start it no more.
""")
@click.option("--store", "store_url", envvar=STORE_VARIABLE, default="", metavar="URL",
              help=f"PostgreSQL database of the migration; default ${STORE_VARIABLE}.")
@click.option("--name", required=True,
              help="The node's name among the migration's gateways, one home each.")
@click.option("--migration", required=True, help="Name of the migration.")
@click.option("--listen", metavar="ADDRESS",
              help="Where users reach it, as 0.0.0.0:8100; default: routing.listen of the plan.")
@click.option("--ready", metavar="ADDRESS",
              help="Where load balancers ask; default: the host and the next port of --listen, "
              "without it 127.0.0.1:8099.")
@click.option("--drain", default="10s", show_default=True, metavar="TIME",
              help="How long it serves on after it said that it is not ready.")
@click.option("--shadow", is_flag=True,
              help="Compare here, too: the plan's share of this node's requests is copied to the "
              "candidate, from this machine.")
@click.option("--break-glass", metavar="ADDRESS",
              help="Where other machines break glass while the store is down; needs a token "
              "($CHANGEOVER_BREAK_GLASS_TOKEN). Default: 127.0.0.1 and the port after --ready.")
@click.option("--advertise", metavar="URL",
              help="How other machines reach --break-glass; default: its own address.")
@click.option("--tls-certificate", metavar="FILE",
              help="Certificate (PEM) that --break-glass shows; without one it speaks plain HTTP.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key (PEM).")
@home_option
@pass_session
def gateway(session: Session, /, **asked: Any) -> int:
    """Run a gateway on another machine: it follows the store, and what it measures counts.

    It shares nothing with the machine of `changeover up` but the database. One process manager
    (systemd, Kubernetes) starts it again when it ends; Envoy runs on meanwhile.
    """
    from changeover.cli.opening import opening
    from changeover.node.card import Card
    from changeover.node.ready import ready
    from changeover.node.service import Node, Stopping, Wanted, identity
    from changeover.site.service_main import log_to_stderr

    listen = address_of("--listen", asked["listen"])
    ready_at = _ready(asked["ready"], listen)
    wanted = Wanted(
        shared_store(asked["store_url"]), asked["migration"], node_name(asked["name"]),
        listen, _seconds(asked["drain"]), opening(asked, ready_at), asked["shadow"])
    if wanted.has_shadow:
        _require_room(wanted.migration, wanted.name)
    home = _home(session.home, wanted.migration)
    log_to_stderr("gateway")
    stop = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    card = Card(identity(home, wanted))
    with contextlib.closing(ready(card, ready_at)):
        Node(home, wanted, card, stop).run()
    return 0


def _require_room(migration: str, name: str) -> None:
    """Refuse a node whose shadow service could give no sign of life.

    Raises:
        InvalidInput: Its name and the migration's together are too long.
    """
    from changeover.store import heartbeats

    if heartbeats.is_too_long(migration, f"shadow {name}"):
        most = heartbeats.MOST_CHARACTERS - len(heartbeats.service_of(migration, "shadow "))
        raise InvalidInput(
            f"{name!r} is too long for a node that compares for {migration}", where="--name",
            allowed=f"up to {most} characters", next_step="Give a shorter one")


def _home(given: Path | None, migration: str) -> Home:
    """Return the node's home, made.

    Raises:
        Refused: It is the home of a `changeover up`, or of a node of another migration, or another
            node runs with it.
    """
    from changeover.supervisor.keeper import supervisor_of

    home = Home.resolve(given)
    home.create()
    settings = home.settings()
    if settings and "node" not in settings:
        raise Refused("not started because this home belongs to `changeover up`",
                      where=str(home.root), next_step="Give the node its own with --home DIR")
    pid = supervisor_of(home)
    if pid is not None:
        raise Refused(f"not started because a gateway node runs already (process {pid})",
                      where=str(home.root), next_step="End it, or give another --home")
    # its Envoy may run still, and its log and its journal are of that migration's users
    if settings.get("migration", migration) != migration:
        raise Refused(
            f"not started because this home belongs to gateway node {settings['node']} of "
            f"{settings['migration']}", where=str(home.root),
            next_step=f"Give the node of {migration} a home of its own with --home DIR")
    return home


def shared_store(url: str) -> str:
    """Return the address of a database that other machines reach, whose death is noticed.

    Raises:
        InvalidInput: It is another one, or none.
    """
    try:
        parsed = make_url(url) if url else None
        if parsed is not None:
            parsed.get_dialect()
    # ValueError: a password with `/` is taken for a port, and would be in the message
    except (ArgumentError, ValueError):
        from changeover.store.engine import ESCAPING  # others start without the store

        raise InvalidInput(
            f"this is no database URL, or of an unknown driver (${STORE_VARIABLE} has it where "
            "the option is not given)", where="--store", allowed=SHARED, next_step=ESCAPING,
        ) from None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise InvalidInput(
            "another machine needs a database that it reaches", where="--store", allowed=SHARED,
            next_step="Start the migration with `changeover up --store URL`, and give the same one")
    return parsed.render_as_string(hide_password=False)


def node_name(name: str) -> str:
    """Return a name that a node, or a spare observer, may have.

    Raises:
        InvalidInput: It is none, or that of the main machine.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of a node", where="--name",
                           allowed="a letter, then up to 62 letters, digits, - or _, all small")
    if name == MAIN_GATEWAY:
        raise InvalidInput(f"{name!r} is the machine of `changeover up`", where="--name",
                           next_step="Give another name, as edge-1")
    return name


def address_of(option: str, value: str | None) -> str | None:
    """Return the HOST:PORT that an option gives; None when it is not given.

    Raises:
        InvalidInput: It is none.
    """
    try:
        return None if value is None else units.normal_address(value)
    except ValueError as error:
        raise InvalidInput(str(error), where=option) from None


def _ready(value: str | None, listen: str | None) -> tuple[str, int]:
    if given := address_of("--ready", value):
        return units.parse_address(given)
    if listen is None:
        return "127.0.0.1", 8099
    host, port = units.parse_address(listen)
    return host, port + 1


def _seconds(value: str) -> float:
    try:
        return units.parse_duration(value).total_seconds()
    except ValueError as error:
        raise InvalidInput(str(error), where="--drain") from None
