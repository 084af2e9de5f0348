"""One migration on this machine, opened once per process and handed to whatever works on it."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from changeover.errors import InvalidInput, Refused
from changeover.flags.state import BASE
from changeover.gateway import publish
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import STORE_VARIABLE, Home
from changeover.store import identity, plans
from changeover.store.engine import Store

if TYPE_CHECKING:
    from changeover.site.bucket_sums import BucketSums
    from changeover.site.metrics import MetricsReader
    from changeover.site.prefect_api import PrefectApi

PAGES = ("ui_url", "reports_url", "console_url")
"""Keys of the settings whose addresses others may know, on other machines too."""
PREFECT_SECONDS = 30.0
"""How long people and preparations wait for a server that is busy; the observer asks again."""


class Site:
    """A migration's plan, home, store and gateway.

    Not a dataclass: Prefect copies the dataclasses that a task is given, field by field.

    Args:
        home: The folder in which `changeover up` keeps everything of this machine.
        plan: The migration's plan, as it is stored.
        store: The store.
        gateway: The gateway; by default the one whose files lie in the home, which waits only a
            moment for a confirmation.
    """

    def __init__(
        self, home: Home, plan: Plan, store: Store, gateway: Gateway | None = None,
    ) -> None:
        self.home, self.plan, self.store = home, plan, store
        self.gateway = gateway or Gateway(home.gateway_files)

    @property
    def environment(self) -> str:
        """Name of the environment whose flags hold here."""
        return self.plan.environment or BASE

    @classmethod
    def open(cls, home: Path | None = None, migration: str | None = None) -> Site:
        """Connect, for a person, to what `changeover up` started with a home.

        Args:
            home: The home; None for `$CHANGEOVER_HOME` or `.changeover` here.
            migration: Name of the migration; None for the one that was started last.

        Raises:
            InvalidInput: Nothing was started with this home, or with another database, or there is
                no such migration.
            StoreError: The store cannot be used.
        """
        found = Home.resolve(home)
        settings = found.require_settings()
        store = Store.open(found.store_url)
        _refuse_other(found, store)
        plan = plans.load(store, migration or settings.get("migration"))
        gateway = Gateway(found.gateway_files, patience=publish.PATIENT_SECONDS)
        return cls(found, plan, store, gateway)

    @property
    def migration(self) -> str:
        """Name of the migration."""
        return self.plan.migration

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is another machine than that of `changeover up`: no gateway, no systems."""
        return not self.gateway.is_here

    def refuse_elsewhere(self, what: str) -> None:
        """Refuse to move a migration's users whose gateway is that of another home.

        Several migrations may share a store; each has a home and a gateway of its own.

        Args:
            what: What is not done, as `not moved`.

        Raises:
            Refused: `changeover up` serves another migration with this home.
        """
        served = self.home.settings().get("migration")
        # a home that serves nothing yet refuses nobody
        if served and served != self.migration:
            raise Refused(
                f"{what} because this home serves {served}, not {self.migration}",
                where=str(self.home.root),
                next_step=f"Name the home of {self.migration} with --home DIR")

    @cached_property
    def prefect(self) -> PrefectApi:
        """Prefect's API, where `changeover up` started it; waits for a busy server."""
        return self.prefect_within(PREFECT_SECONDS)

    def prefect_within(self, seconds: float) -> PrefectApi:
        """Return a client of Prefect's API that waits at most so long for each answer."""
        # its HTTP client takes long to import, and most commands never ask Prefect
        from changeover.site.prefect_api import PrefectApi

        # where `changeover up` did not start it, as Prefect's own commands find it
        url = str(self.home.settings().get("api_url") or os.environ.get("PREFECT_API_URL", ""))
        return PrefectApi(url, timeout=seconds, owner=lambda: self.store_id)

    @cached_property
    def store_id(self) -> str:
        """The database's own name: other databases may use the same Prefect server.

        Raises:
            StoreError: The store cannot be used.
        """
        return identity.of(self.store)

    @cached_property
    def metrics(self) -> MetricsReader:
        """What was measured of the migration's systems."""
        # only gates and verification read figures: other commands need not import how
        from changeover.site.metrics import MetricsReader

        return MetricsReader(self.store, self.migration)

    @cached_property
    def bucket_sums(self) -> BucketSums:
        """What was counted of the migration's users, by bucket."""
        from changeover.site.bucket_sums import BucketSums

        return BucketSums(self.store, self.migration)

    @cached_property
    def reports_url(self) -> str:
        """Address where rendered reports are served; empty when they are not."""
        found = str(self.home.settings().get("reports_url") or "")
        # what no folder here serves, a console does, from the store
        public = self.plan.console.public
        return found or (f"{public}/reports" if public else "")

    @cached_property
    def folder(self) -> Path:
        """The folder that the plan's paths are relative to."""
        return Path(self.home.settings().get("plan") or ".").absolute().parent

    @property
    def pids(self) -> dict[str, int]:
        """Process ids, read anew each time, of the systems that `changeover up` started."""
        known = self.home.settings().get("processes", {})
        return {name: int(known[name]["pid"])
                for name in ("baseline", "candidate") if name in known}


def _refuse_other(home: Home, store: Store) -> None:
    """Refuse a database that is not the home's: its routes would go into the home's gateway."""
    if home.is_of_store(identity.of(store)):
        return
    store.close()
    raise InvalidInput(
        f"the database is not that of this home ({home.root})",
        where=f"${STORE_VARIABLE}" if os.environ.get(STORE_VARIABLE) else str(home.root),
        next_step=f"Unset ${STORE_VARIABLE}, or name another home with --home DIR; where this "
        "database took the place of the one before, run `changeover up` again")
