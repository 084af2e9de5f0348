"""Commands on a machine without a home: the migration by its database alone.

They move users as a console elsewhere does: by the state in the store, which all gateways follow
and confirm. Nothing of this machine is needed, and none of it is changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from changeover.cli.gateway import shared_store
from changeover.errors import InvalidInput
from changeover.site.elsewhere import by_store, scratch
from changeover.site.home import STORE_VARIABLE, Home
from changeover.store import plans
from changeover.store.engine import Store

if TYPE_CHECKING:
    from changeover.cli.common import Session
    from changeover.site.site import Site


def store_url(session: Session) -> str:
    """Return the database with which a command works without a home; empty: it has one.

    Whoever types a home means it: a wrong one is told, and not passed over. One of the environment
    is the same for all that a machine or an image runs, so an empty one is none.
    """
    if session.store_url:
        return session.store_url
    if session.is_home_typed or Home.resolve(session.home).settings():
        return ""
    return os.environ.get(STORE_VARIABLE, "")


def site(url: str, migration: str | None) -> Site:
    """Return a migration by its database.

    Args:
        url: The database.
        migration: Its name; None: the only one of the database.

    Raises:
        InvalidInput: It is no PostgreSQL, or it is not clear which migration is meant.
        StoreError: The store cannot be used.
    """
    store = Store.open(shared_store(url))
    known = plans.names(store)
    # which one was started last is of no meaning here: it is of another machine
    if migration is None and len(known) > 1:
        raise InvalidInput(
            "it is not clear which migration is meant", where="--migration",
            allowed=", ".join(known))
    return by_store(scratch(), plans.load(store, migration), store)
