"""The migration as a spare observer sees it: on a machine without a gateway of its own."""

from __future__ import annotations

from changeover.gateway.absent import AbsentGateway
from changeover.plan.model import Plan
from changeover.site.elsewhere import Away
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store

STORE_SECONDS = 1.0
"""Longest wait for other writers, as of the main machine's observer."""


def spare_site(home: Home, store: Store, migration: str, name: str) -> Site:
    """Return the migration with the plan in force.

    Args:
        home: The spare's own.
        store: The store.
        migration: Name of the migration.
        name: The spare's name; what it probes is measured under it.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used.
    """
    plan = of_spare(plans.load(store, migration))
    return Site(Away(home.root, store, migration), plan, store, AbsentGateway(
        home.gateway_files, store, migration, name=name))


def of_spare(plan: Plan) -> Plan:
    """Return a plan without what only the main machine's gateway can do.

    What shadow services of nodes compare is judged here as anywhere.
    """
    return plan.model_copy(update={
        "health": plan.health.model_copy(update={"back_pressure": None})})
