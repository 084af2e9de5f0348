"""A console on another machine than the gateway's: the store, and a home of its own, are all.

What people do goes through the store, and every gateway confirms there that it follows.
"""

from __future__ import annotations

import os
import sys

from changeover.console.context import Console
from changeover.console.serving import run
from changeover.errors import Refused
from changeover.site.elsewhere import by_store
from changeover.site.home import Home
from changeover.store import plans
from changeover.store.engine import Store


def own_home(home: Home) -> Home:
    """Return the home, made.

    Raises:
        Refused: It is that of `changeover up`, of a node or of an observer that runs.
        EnvironmentProblem: It cannot be written.
    """
    home.create()
    if home.settings():
        raise Refused(
            "not started because this home belongs to `changeover up` or to a node",
            where=str(home.root), next_step="Give the console its own with --home DIR")
    return home


def serve(home: Home, store: Store, migration: str, name: str, address: tuple[str, int]) -> None:
    """Serve until SIGTERM or SIGINT; begin anew with the plan once that is amended.

    Args:
        home: The console's own home.
        store: The store.
        migration: Name of the migration.
        name: The console's name among the migration's.
        address: Where it listens.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used.
    """
    site = by_store(home.root, plans.load(store, migration), store)
    if run(site, *address, name=f"{Console.NAME} {name}", goes_on=True):
        # no supervisor starts it again
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
