"""The migration as a console sees it whose gateways are all on other machines."""

from __future__ import annotations

from changeover.gateway.absent import AbsentGateway
from changeover.site.elsewhere import Away
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store


def site_elsewhere(home: Home, store: Store, migration: str) -> Site:
    """Return a migration whose gateways confirm in the store.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used.
    """
    away = Away(home.root, store, migration)
    return Site(away, plans.load(store, migration), store,
                AbsentGateway(away.gateway_files, store, migration))
