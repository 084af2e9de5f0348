"""The daily summary: what changed, what waits, health, new divergences; a report and a message."""

from changeover.plan.model import Plan
from changeover.store.engine import Store
from reports.daily.collecting import collect
from reports.daily.model import DailySummary
from reports.daily.page import page
from reports.kind import Ask, Kind, Report, of_page


def build(store: Store, plan: Plan, ask: Ask) -> Report:
    """Return the summary of the last 24 hours, or of as many as are asked for."""
    data = collect(store, plan, ask)
    return of_page("daily", f"{plan.migration}-daily-{data.day}", data, page(data))


KIND = Kind(
    "daily", "the last 24 hours: what changed, what waits, health, new divergences",
    DailySummary, build)
__all__ = ["KIND", "DailySummary", "build", "collect", "page"]
