"""After a restart: what error budgets burnt before, from stored measurements."""

from __future__ import annotations

from changeover import clock
from changeover.analysis.window import OUTCOMES
from changeover.observer.budget_watch import BudgetWatch
from changeover.site.site import Site
from changeover.store import outcomes, samples

MINUTE = 60


def restore(site: Site, budgets: list[BudgetWatch], *, since: int) -> None:
    """Give budgets the stored minutes of their windows.

    Args:
        site: The migration on this machine.
        budgets: The budgets, before anything is fed.
        since: Unix second from which on single seconds are fed.

    Raises:
        StoreError: The store cannot be read.
    """
    # whole minutes: `since` may lie within one, whose sum is stored only later
    until = -(-since // MINUTE) * MINUTE
    for budget in budgets:
        start = clock.from_timestamp(until - budget.longest)
        if budget.of.startswith(OUTCOMES):
            known = outcomes.recent(site.store, site.migration, since=start)
        else:
            known = samples.series(
                site.store, site.migration, budget.of, start=start,
                end=clock.from_timestamp(until - 1), points=max(1, budget.longest // MINUTE))
        budget.restore(known, until)
