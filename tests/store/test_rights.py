"""The printed rights on a real PostgreSQL: who reads and writes what, and what nobody may do.

That they suffice for whole procedures is shown by `tests/flows/test_rights.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from changeover import clock
from changeover.domain import roles
from changeover.domain.comparisons import Compared
from changeover.site import rights
from changeover.site.home import STORE_VARIABLE, Home
from changeover.store import audit, comparisons, heartbeats, plans, retention
from changeover.store.engine import Store
from changeover.store.schema import METADATA
from tests.store.conftest import new_database, shop
from tests.support.commands import changeover, plain
from tests.support.roles import granted

pytestmark = pytest.mark.postgres
ONLY_READ = {"store_identity"}
"""Written once, by whoever makes the tables."""


@pytest.fixture(scope="module")
def urls(postgres_url: str, postgres_template: str) -> Iterator[dict[str, str]]:
    """The address of a store with a migration for each role."""
    url = new_database(postgres_url, template=postgres_template)
    store = Store.open(url)
    plans.register(store, shop(), source="test", now=clock.now())
    store.close()
    with granted(url) as found:
        yield found


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def refused(url: str, *statements: str) -> None:
    """Check that PostgreSQL refuses each."""
    with connected(url) as connection:
        for statement in statements:
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                connection.execute(text(statement))
            connection.rollback()


def test_every_role_can_be_asked_for() -> None:
    """The names that the command takes are those of whose rights there are."""
    assert list(roles.ROLES) == list(rights.ROLES)


def test_every_table_is_somebodys() -> None:
    """A new table must say who writes it, besides who may do everything."""
    given = [rights.ROLES[name].writes for name in rights.ROLES if name != "main"]
    assert {table for each in given for table, verbs in each.items() if verbs} \
        == set(METADATA.tables) - ONLY_READ
    assert set(METADATA.tables) >= rights.SECRET


@pytest.mark.parametrize("role", list(rights.ROLES))
def test_nobody_changes_the_audit_or_makes_tables(urls: dict[str, str], role: str) -> None:
    """An event is written once: not even who may do everything else changes or deletes it."""
    refused(urls[role], "UPDATE audit_event SET actor = 'x'", "DELETE FROM audit_event",
            "TRUNCATE audit_event", "DROP TABLE audit_event",
            "UPDATE alembic_version SET version_num = 'r001'", "ALTER TABLE sample ADD x int")


@pytest.mark.parametrize(("role", "tables"), [
    ("node", "routing_state migration audit_event rollback approval trigger_firing"),
    ("observer", "migration approval console_session gate_verdict comparison claim"),
    ("console", "sample gateway_node migration gate_verdict trigger_firing observer_lead"),
    ("shadow", "routing_state audit_event outcome gateway_node bucket_slice"),
    ("worker", "sample bucket_slice gateway_node claim outcome console_session observer_lead"),
    ("approver", "routing_state sample gateway_node rollback trigger_firing flag"),
    ("reader", " ".join(METADATA.tables))])
def test_what_is_not_its_own_it_cannot_write(
    urls: dict[str, str], role: str, tables: str
) -> None:
    """Whatever a process is talked into."""
    for table in tables.split():
        refused(urls[role], f'DELETE FROM "{table}"',  # noqa: S608  a name of ours
                f'INSERT INTO "{table}" DEFAULT VALUES')


@pytest.mark.parametrize(("role", "tables"), [
    ("node", "approver_token audit_event comparison outcome flag"),
    ("observer", "approver_token console_session console_token"),
    ("worker", "console_session console_form"),
    ("shadow", "approver_token console_token"),
    ("reader", "approver_token approver_code console_session console_token console_form")])
def test_what_is_secret_it_cannot_read(urls: dict[str, str], role: str, tables: str) -> None:
    """Digests of tokens are of no use to it."""
    refused(urls[role], *(f'TABLE "{table}"' for table in tables.split()))


def test_who_only_reads_sees_all_that_commands_show(
    urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told in words what is not its own to change."""
    home = Home(tmp_path)
    home.create()
    home.save_settings({"migration": "shop", "api_url": "http://127.0.0.1:1/api"})
    monkeypatch.setenv(STORE_VARIABLE, urls["reader"])
    for command in ("status", "history --verify", "verdict", "outcomes", "flags list",
                    "divergences", "explain ann", f"export audit --output {tmp_path / 'out'}"):
        assert "permission denied" not in changeover(tmp_path, *command.split())
    for command in ("freeze on --reason x", "approver list"):
        said = changeover(tmp_path, *command.split(), code=5)
        assert "permission denied" in said and "changeover store grants" in said


def test_grants_given_again_take_away_what_is_too_much(urls: dict[str, str]) -> None:
    """As after an upgrade: exactly the rights of this version are left."""
    owner = urls["owner"]
    name = make_url(urls["reader"]).username
    with connected(owner) as connection:
        connection.execute(text(f'GRANT DELETE ON sample TO "{name}"'))
        connection.commit()
        said = json.loads(plain(
            "store", "grants", "--role", "reader", "--to", str(name), "--output", "json"))
        for statement in said["statements"]:
            connection.execute(text(statement))
        connection.commit()
    refused(urls["reader"], "DELETE FROM sample")
    store = Store.open(urls["reader"])
    assert audit.verify(store, "shop") == []
    store.close()


def test_who_may_do_everything_starts_as_up_does(urls: dict[str, str]) -> None:
    """`changeover up` looks whether the tables are of its version; only the owner changes them."""
    store = Store.open(urls["main"], create=True)
    plans.register(store, shop(), source="test", now=clock.now())
    store.close()


@pytest.mark.parametrize("options", [("--to", 'x"; DROP TABLE sample; --'), ("--to", ""),
                                     ("--role", "nobody")])
def test_what_is_no_role_is_refused(options: tuple[str, str]) -> None:
    """A name goes into SQL that the owner runs."""
    role = () if options[0] == "--role" else ("--role", "node")
    plain("store", "grants", *role, *options, code=2)


def test_who_compares_can_save_what_gates_read(urls: dict[str, str]) -> None:
    """Comparisons, their sums by second, coverage, and its sign of life."""
    store = Store.open(urls["shadow"])
    one = Compared(clock.now(), "GET /a", "1", 1.0, True, 0.01, 0.02)
    comparisons.write(store, "shop", [one], {"seen": 1}, gateway="edge-1")
    heartbeats.beat(store, "shop/shadow edge-1", pid=1, now=clock.now())
    retention.prune(store, "shop", keep=1, keep_for=timedelta(days=1), keep_bytes=1_000_000,
                    now=clock.now())
    assert comparisons.coverage(store, "shop")["compared"] == 1
    store.close()
    refused(urls["shadow"], "DELETE FROM sample")
