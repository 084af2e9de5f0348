"""Lessons learned of a cutover: where time went, what nearly fired, what the next plan needs."""

from changeover.plan.model import Plan
from changeover.store.engine import Store
from reports.kind import Ask, Kind, Report, of_page
from reports.lessons.collecting import collect
from reports.lessons.model import Lessons
from reports.lessons.page import page


def build(store: Store, plan: Plan, ask: Ask) -> Report:
    """Return what a cutover teaches; of one that runs, what it has taught so far."""
    data = collect(store, plan, ask)
    name = f"{plan.migration}-lessons-{data.cutover.id}"
    return of_page("lessons", name, data, page(data))


KIND = Kind(
    "lessons", "what a cutover teaches: times, near misses, flaky gates, advice for the next plan",
    Lessons, build)
__all__ = ["KIND", "Lessons", "build", "collect", "page"]
