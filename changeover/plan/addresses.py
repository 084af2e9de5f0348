"""Where the databases that a plan names are. Reads the environment, so it is not pure."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from changeover.errors import InvalidInput
from changeover.plan.suites import DatabaseRef


def database_address(ref: DatabaseRef, folder: Path) -> URL:
    """Return a database's URL; a relative SQLite file lies in `folder`, the plan's.

    Raises:
        InvalidInput: The variable is not set, or is no database URL.
    """
    found = ref.url or os.environ.get(ref.env or "", "")
    if not found:
        raise InvalidInput(f"the variable {ref.env} is not set", next_step="Set it to the "
                           "database's URL where the worker runs")
    try:
        url = make_url(found)
    # ValueError: a password with `/` is taken for a port
    except (SQLAlchemyError, ValueError):
        raise InvalidInput("this is not a database URL", where=f"the variable {ref.env}") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("/"):
        url = url.set(database=str(folder / url.database))
    return url
