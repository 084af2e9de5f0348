"""What makes Prefect cheap in tests: a database migrated once for all."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

CHEAP = {
    # the feed of events for Prefect's pages, which nobody opens here, is half of its work
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "false",
    # the database of `seed` is migrated, and only our own blocks are used
    "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}
"""Settings of a server with a database of `seed`."""


def seed(prefect_home: Path) -> None:
    """Put an empty, migrated database into a Prefect home that has none."""
    target = prefect_home / "prefect.db"
    if target.exists():
        return
    prefect_home.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(_template())) as source, closing(sqlite3.connect(target)) as own:
        source.backup(own)


def _template() -> Path:
    """Return the migrated database of this version of Prefect, made by the first who asks."""
    found = Path(tempfile.gettempdir()) / f"changeover-prefect-{version('prefect')}.db"
    with found.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with tempfile.TemporaryDirectory() as home:
                subprocess.run(
                    [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
                    env={**os.environ, "PREFECT_HOME": home}, check=True, capture_output=True,
                    stdin=subprocess.DEVNULL, timeout=180)
                copy = found.with_suffix(".new")
                copy.unlink(missing_ok=True)
                with closing(sqlite3.connect(Path(home) / "prefect.db")) as source, \
                        closing(sqlite3.connect(copy)) as own:
                    source.backup(own)
                copy.replace(found)
    return found
