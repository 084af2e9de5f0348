"""A machine without a home of `changeover up`: a folder for temporary files, and addresses.

It has the store's address and Prefect's from its environment, and the addresses of pages from what
the main machine noted in the store. Nothing that is kept here is needed after the flow.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from changeover.errors import EnvironmentProblem, InvalidInput, StoreError
from changeover.gateway.absent import AbsentGateway
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import STORE_VARIABLE, Home
from changeover.site.site import Site
from changeover.store import identity, main_gateways
from changeover.store.engine import Store
from changeover.store.leading import can_lead

SCRATCH_VARIABLE = "CHANGEOVER_SCRATCH"
FOLDER_VARIABLE = "CHANGEOVER_PLAN_FOLDER"
API_VARIABLE, UI_VARIABLE = "PREFECT_API_URL", "PREFECT_UI_URL"
REPORTS_VARIABLE = "CHANGEOVER_REPORTS_URL"
PAGES_SECONDS = 30.0
"""How long addresses are believed that the main machine noted."""


class Away(Home):
    """A folder in place of a home, and the settings of the environment.

    Args:
        root: The folder.
        store: The store.
        migration: Name of the migration.
    """

    def __init__(self, root: Path, store: Store, migration: str) -> None:
        super().__init__(root)
        self._store, self._migration = store, migration
        self._pages: dict[str, str] = {}
        self._asked = float("-inf")

    def settings(self) -> dict[str, Any]:
        """Return addresses by their keys in `run.json`; there are no processes here."""
        api = os.environ.get(API_VARIABLE, "")
        pages = self._known_pages()
        ui = os.environ.get(UI_VARIABLE) or pages.get("ui_url") or _pages_of(api)
        folder = Path(os.environ.get(FOLDER_VARIABLE) or self.root / "plan")
        return {
            **pages, "migration": self._migration, "api_url": api, "ui_url": ui,
            "has_worker": False,  # none that a supervisor here could start again
            # reports are in the store: the console serves what any machine rendered
            "reports_url": os.environ.get(REPORTS_VARIABLE) or _reports_of(pages),
            # the plan's paths are relative to the folder of its file
            "plan": str(folder.absolute() / "plan.yaml")}

    def _known_pages(self) -> dict[str, str]:
        if time.monotonic() - self._asked > PAGES_SECONDS:
            # links in messages are all that is missing without the store
            with suppress(StoreError):
                self._pages = main_gateways.pages(self._store, self._migration)
            self._asked = time.monotonic()
        return self._pages


def _reports_of(pages: dict[str, str]) -> str:
    console = pages.get("console_url")
    return f"{console.rstrip('/')}/reports" if console else ""


def _pages_of(api: str) -> str:
    return api.rstrip("/").removesuffix("/api")


def site_of(home: str, plan: Plan, store: Store, *, patience: float) -> Site:
    """Return a migration for a flow: with the home here, or as one on another machine.

    Args:
        home: Path of the home of `changeover up` on its machine; empty: there is none.
        plan: The plan in force.
        store: The store.
        patience: Longest wait for the gateway here to confirm, in seconds.

    Raises:
        InvalidInput: The home is not on this machine, and the database is not one to share.
        EnvironmentProblem: No temporary files can be kept.
        StoreError: The store cannot be used.
    """
    if is_home_here(home, plan.migration, identity.of(store)):
        found = Home(Path(home))
        return Site(found, plan, store, Gateway(found.gateway_files, patience=patience))
    if not can_lead(store):
        raise refused(home)
    return by_store(scratch(), plan, store)


def by_store(root: Path, plan: Plan, store: Store) -> Site:
    """Return a migration whose gateways are all on other machines, and confirm in the store.

    Args:
        root: A folder of this machine, for what need not be kept.
        plan: The plan in force.
        store: The store, on PostgreSQL.
    """
    away = Away(root, store, plan.migration)
    return Site(away, plan, store, AbsentGateway(away.gateway_files, store, plan.migration))


def is_home_here(home: str, migration: str, store_id: str) -> bool:
    """Whether a path is on this machine the home of `changeover up` for a migration.

    Args:
        home: The path; empty: none.
        migration: Name of the migration.
        store_id: The own name of the migration's database: another one may have one of that name.
    """
    if not home:
        return False
    found = Home(Path(home))
    # the same path on another machine may be of something else, or not ours to read
    with suppress(EnvironmentProblem):
        return found.settings().get("migration") == migration and found.is_of_store(store_id)
    return False


def refused(home: str) -> InvalidInput:
    """Return why a flow cannot run here."""
    why = f"the home {home} of `changeover up` is not here" if home else \
        "there is no home of `changeover up`"
    return InvalidInput(
        f"a flow cannot run on this machine: {why}, and the store is not one to share",
        allowed=f"${STORE_VARIABLE} with the address of the migration's PostgreSQL",
        next_step="Set it in the worker's environment; SQLite is for one machine")


def scratch() -> Path:
    """Make the folder for temporary files, and return it: the owner's only.

    Raises:
        EnvironmentProblem: It cannot be made, or is another user's.
    """
    given = os.environ.get(SCRATCH_VARIABLE)
    path = Path(given) if given else Path(tempfile.gettempdir()) / f"changeover-{os.getuid()}"
    try:
        path.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        found = path.lstat()
        # a shared temp folder: another user may have made it first
        is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_own:
            raise PermissionError("it belongs to somebody else")
        if not given:
            path.chmod(stat.S_IRWXU)
    except OSError as error:
        raise EnvironmentProblem(
            f"temporary files cannot be kept: {error.strerror or error}", where=str(path),
            next_step=f"Name a folder of your own in ${SCRATCH_VARIABLE}") from error
    return path.resolve()
