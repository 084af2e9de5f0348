"""Real databases: one row, read-only, every placeholder bound, and an end to every query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy import make_url

from changeover.domain.readings import Reading
from tests.store.conftest import new_database, postgres_url
from tests.support.external import asked
from tests.support.processes import ROOT

__all__ = ["postgres_url"]  # the fixture: one server for the tests that want one
pytestmark = pytest.mark.integration
ODD = "shop'; DROP TABLE orders; --"
SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
              "SELECT max(i) FROM n",
    "postgresql": "SELECT 1 FROM pg_sleep(3600)",
}


@dataclass
class Shop:
    """A database with orders of both systems, and how to ask it."""

    url: str
    folder: Path

    @property
    def backend(self) -> str:
        return make_url(self.url).get_backend_name()

    def ask(self, query: str, *, timeout: str = "30s", **metric: Any) -> Reading:
        source = {"kind": "sql", "env": "SHOP_DATABASE", "timeout": timeout, "retries": 0,
                  "names": {"candidate": ODD}}
        return asked(source, {"query": query, **metric}, self.folder)

    def rows(self) -> list[tuple[Any, ...]]:
        engine = sa.create_engine(make_url(self.url))
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT * FROM orders ORDER BY 2")).all()
        engine.dispose()
        return [tuple(row) for row in found]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """Two orders of the candidate, one of the baseline."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    if request.param == "postgres":
        url = new_database(request.getfixturevalue("postgres_url"))
    monkeypatch.setenv("SHOP_DATABASE", url)
    engine = sa.create_engine(make_url(url))
    with engine.begin() as connection:
        connection.execute(sa.text(
            "CREATE TABLE orders (system VARCHAR(80), cents INTEGER, at TIMESTAMP)"))
        connection.execute(sa.text("INSERT INTO orders VALUES (:system, :cents, NULL)"), [
            {"system": ODD, "cents": 100}, {"system": ODD, "cents": 300},
            {"system": "baseline", "cents": 700}])
    engine.dispose()
    yield Shop(url, tmp_path)


def test_a_row_is_read_with_bound_values(shop: Shop) -> None:
    """A system's name that would end the statement is only a name."""
    query = ("SELECT avg(cents) AS mean, count(*) AS n, '12:30' AS time "
             "FROM orders WHERE system = {system}")
    found = shop.ask(query, samples="n")
    assert (found.value, found.samples, found.problem) == (200, 2, "")
    assert found.query.endswith(f"WHERE system = {{system}} with {{system}} = {ODD!r}")
    assert shop.ask(query, value="n").value == 2
    assert len(shop.rows()) == 3


def test_every_placeholder_can_be_bound(shop: Shop) -> None:
    """The window is a number of seconds."""
    found = shop.ask("SELECT {window} + 1 AS a FROM orders WHERE {migration} = 'moving' "
                     "AND system = {system} AND cents = 100")
    assert (found.value, found.problem) == (61, "")


def test_the_time_of_measurement_is_read(shop: Shop) -> None:
    """From a column: a time without a zone is UTC."""
    assert "stale" in shop.ask("SELECT 1 AS a, '2026-01-01 12:00:00' AS t", at="t").problem
    assert "is empty" in shop.ask("SELECT cents, at FROM orders WHERE cents = 700", at="at").problem
    assert shop.ask("SELECT 1 AS a, CURRENT_TIMESTAMP AS t", at="t").value == 1


@pytest.mark.parametrize(("query", "said"), [
    ("SELECT cents FROM orders WHERE cents < 0", "the query finds no row"),
    ("SELECT avg(cents) FROM orders WHERE cents < 0", "the value is empty"),
    ("SELECT cents FROM orders", "the query finds several rows"),
    ("SELECT system FROM orders WHERE cents = 700", "the value is no number: 'baseline'"),
    ("SELECT nothing FROM orders", "the database says: "),
    ("SELECT 1 FROM", "the database says: "),
])
def test_what_is_not_one_number_is_no_value(shop: Shop, query: str, said: str) -> None:
    """The reason says what to mend."""
    assert said in shop.ask(query).problem
    assert "no column 'b'; it has a" in shop.ask("SELECT 1 AS a", value="b").problem


WRITING = [
    ("sqlite", "WITH a AS (SELECT 1) INSERT INTO orders SELECT 'x', 1, NULL FROM a"),
    ("postgresql", "WITH a AS (DELETE FROM orders RETURNING cents) SELECT max(cents) FROM a"),
    ("postgresql", "SELECT lo_create(0)"),
]


def test_nothing_can_be_written(shop: Shop) -> None:
    """Whatever the query is, the database stays as it was."""
    before = shop.rows()
    for backend, query in WRITING:
        if backend == shop.backend:
            assert shop.ask(query).problem.startswith("the database says: ")
    assert shop.rows() == before


def test_a_slow_query_is_given_up_and_ended(shop: Shop) -> None:
    """In the database as well, so that it burdens nobody for ever."""
    assert shop.ask(SLOW[shop.backend], timeout="1s").problem == "no answer within 1 s"
    assert shop.ask("SELECT 1").value == 1


def test_a_database_that_is_not_there_is_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SQLite file is not made, and no message has the password."""
    monkeypatch.setenv("SHOP_DATABASE", f"sqlite:///{tmp_path / 'none.db'}")
    shop = Shop("", tmp_path)
    assert "unable to open" in shop.ask("SELECT 1").problem
    assert not (tmp_path / "none.db").exists()
    for url in ("postgresql://reader:s3cretpw@127.0.0.1:1/shop", "no s3cretpw url",
                "nosuch+driver://reader:s3cretpw@h/shop"):
        monkeypatch.setenv("SHOP_DATABASE", url)
        found = shop.ask("SELECT 1")
        assert found.problem
        assert "s3cretpw" not in repr(found)
    monkeypatch.delenv("SHOP_DATABASE")
    assert "variable SHOP_DATABASE is not set" in shop.ask("SELECT 1").problem


@pytest.mark.postgres
def test_a_refused_password_is_shown_nowhere(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that the database repeats."""
    parsed = make_url(postgres_url).set(username="nobody_here", password="s3cret%pw")
    monkeypatch.setenv("SHOP_DATABASE", parsed.render_as_string(hide_password=False))
    found = Shop("", tmp_path).ask("SELECT 1")
    assert "the database says" in found.problem
    assert "s3cret" not in repr(found)


@pytest.mark.postgres
def test_the_example_of_the_page_is_answered(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows are bound as numbers, and shares come as decimals."""
    page = (ROOT / "docs" / "sources.md").read_text()
    found = re.findall(r"```yaml\n(.*?)```", page, re.S)
    (source,) = [each["sources"]["shop"] for each in map(yaml.safe_load, found)
                 if each["sources"].keys() == {"shop"}]
    url = new_database(postgres_url)
    engine = sa.create_engine(make_url(url))
    with engine.begin() as connection:
        connection.execute(sa.text(
            "CREATE TABLE orders (system TEXT, state TEXT, created_at TIMESTAMPTZ)"))
        connection.execute(sa.text(
            "INSERT INTO orders VALUES ('candidate', 'failed', now()), ('candidate', 'paid', "
            "now()), ('candidate', 'failed', now() - interval '1 day'), "
            "('baseline', 'failed', now())"))
    engine.dispose()
    monkeypatch.setenv("SHOP_DATABASE", url)
    metric = source["metrics"]["failed_orders"]
    answer = asked({**source, "timeout": "30s"}, metric, ROOT)
    assert (answer.value, answer.samples, answer.problem) == (0.5, 2, "")


def test_a_sqlite_file_lies_beside_the_plan(tmp_path: Path) -> None:
    """Its URL may stand in the plan: it has no secret."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE a (b INTEGER)"))
    engine.dispose()
    source = {"kind": "sql", "url": "sqlite:///shop.db"}
    assert asked(source, {"query": "SELECT count(*) FROM a"}, tmp_path).value == 0
