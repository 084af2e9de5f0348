"""A role of PostgreSQL for each of ours, with the rights that `changeover store grants` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url, text

from changeover.site import rights
from tests.store.conftest import admin
from tests.support.commands import plain


@contextmanager
def granted(url: str) -> Iterator[dict[str, str]]:
    """Make the roles for a database; yields its address for each, and for `owner`."""
    parsed = make_url(url)
    names = {role: f"{role}_{parsed.database}" for role in rights.ROLES}
    with admin(url) as connection:
        for role, name in names.items():
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
            printed = plain("store", "grants", "--role", role, "--to", name, "--output", "json")
            for statement in json.loads(printed)["statements"]:
                connection.execute(text(statement))
    addresses = {
        role: parsed.set(username=name, password="secret").render_as_string(hide_password=False)
        for role, name in names.items()}
    yield {**addresses, "owner": url}
    with admin(url) as connection:
        for name in names.values():
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))
