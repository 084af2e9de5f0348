"""What every part of a scrape reads: the site, the present moment, what was counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.analysis.window import Window
from changeover.console.context import Console
from changeover.console.exposition.counters import Counters
from changeover.console.kept import Kept, Made
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import RoutingState
from changeover.site.site import Site
from changeover.store import samples
from changeover.store.engine import Store

RECENT = timedelta(minutes=5)
"""Outcomes and comparisons are rarer than requests: some seconds of them would say little."""
RECENT_SECONDS = 10
"""Hundreds of rows: read for several scrapes at once."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One scrape's view of a migration.

    Args:
        console: The console that is asked.
        counters: What was counted since the console began.
        values: What costs something, kept for several scrapes.
        state: The routing state.
        cutover: The newest cutover; None before the first.
        now: The present moment.
        took: Seconds that the scrape before took; None before the first.
    """

    console: Console
    counters: Counters
    values: Kept
    state: RoutingState
    cutover: Cutover | None
    now: datetime
    took: float | None = None

    @property
    def site(self) -> Site:
        """The migration on this machine."""
        return self.console.site

    @property
    def store(self) -> Store:
        """Its store."""
        return self.console.site.store

    @property
    def migration(self) -> str:
        """Its name."""
        return self.console.site.migration

    @property
    def running(self) -> Cutover | None:
        """The cutover that runs; None when none does."""
        cutover = self.cutover
        if cutover is None or cutover.status is not CutoverStatus.RUNNING:
            return None
        return cutover

    def recent(self, system: str) -> Window:
        """Return what was measured of a system in the last five minutes, some seconds ago."""
        start, end = self.now - RECENT, self.now

        def window() -> Window:
            return samples.window(
                self.store, self.migration, system, start=start, end=end)

        return self.kept(f"recent {system}", RECENT_SECONDS, window)

    def kept(self, name: str, seconds: float, make: Callable[[], Made]) -> Made:
        """Return what costs something, made at most so many seconds before this scrape."""
        return self.values.get(name, seconds, self.now.timestamp(), make)
