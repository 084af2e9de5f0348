"""A store of an older version is brought up to date with everything in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, create_engine

from changeover import clock
from changeover.domain.sessions import Source
from changeover.errors import WrongStoreVersion
from changeover.store import console_sessions, engine, hours, samples
from changeover.store.console_sessions import digest
from changeover.store.engine import Store

OLD = "r007"
"""Before relays, forms, the course of gates, and hours of measurements."""
FIRST = 1_700_002_800
START = clock.from_timestamp(FIRST)
SESSION = "what-a-browser-kept"


def at_version(url: str, version: str) -> None:
    """Make the tables of an older version, with a session and two hours of measurements."""
    config = Config()
    folder = Path(engine.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    address = url.replace("postgresql://", "postgresql+psycopg://")
    database = create_engine(address)
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)

        def add(table: str, rows: list[dict[str, Any]]) -> None:
            found = Table(table, MetaData(), autoload_with=connection)
            connection.execute(found.insert(), rows)

        now = clock.now()
        add("console_session", [{
            "id": digest(SESSION), "migration": "shop", "name": "ann@example.org",
            "began_at": now, "expires_at": now + timedelta(hours=1)}])
        add("sample", [{
            "migration": "shop", "system": "candidate", "resolution": 60, "gateway": "main",
            "at": FIRST + 60 * number, "watched": 60, "listened": 0, "compared": 0, "matched": 0,
            "similarity": 0.0, "measured": {"requests": number}} for number in range(120)])
    database.dispose()


def test_older_store_is_refused_then_upgraded_with_what_is_in_it(empty_url: str) -> None:
    """Who was signed in still is, measurements stay, and get their hours by themselves."""
    at_version(empty_url, OLD)
    with pytest.raises(WrongStoreVersion, match=f"{OLD}.*changeover store upgrade"):
        Store.open(empty_url)
    store = Store.open(empty_url, create=True)
    who = console_sessions.find(store, "shop", SESSION, now=clock.now())
    assert who is not None and (who.name, who.source) == ("ann@example.org", Source.OIDC)

    end = START + timedelta(hours=2)
    before = samples.window(store, "shop", "candidate", start=START, end=end)
    assert before.requests == sum(range(120))
    assert hours.rollup(store, "shop", now=end + timedelta(hours=1)) == 2
    assert samples.window(store, "shop", "candidate", start=START, end=end) == before
    store.close()
