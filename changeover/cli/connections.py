"""What a command about a running migration works with: its store, plan, gateway and Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from changeover.gateway import publish
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import plans
from changeover.store.engine import Store

if TYPE_CHECKING:
    from changeover.observer.prefect_api import PrefectApi


@dataclass
class Connections:
    """A migration's store, plan, gateway and Prefect, for one command."""

    home: Home
    store: Store
    plan: Plan

    @classmethod
    def open(cls, home: Path | None, migration: str | None = None) -> Connections:
        """Connect to what `changeover up` started with this home.

        Raises:
            InvalidInput: Nothing was started with it, or there is no such migration.
            StoreError: The store cannot be used.
        """
        found = Home.resolve(home)
        settings = found.require_settings()
        store = Store.open(found.store_url)
        return cls(found, store, plans.load(store, migration or settings.get("migration")))

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return Gateway(self.home.gateway_files, patience=publish.PATIENT_SECONDS)

    @property
    def prefect(self) -> PrefectApi:
        """Prefect's API."""
        # its HTTP client takes as long to import as all else, and most commands never ask Prefect
        from changeover.observer.prefect_api import PATIENT_SECONDS, PrefectApi

        url = str(self.home.settings().get("api_url"))
        return PrefectApi(url, timeout=PATIENT_SECONDS)
