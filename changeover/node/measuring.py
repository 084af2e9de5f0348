"""The node's access log as one-second samples and sums by bucket, sent to the store.

It measures as the observer of the main machine does, with the same parts, under the node's name.
While the store is away both stay in memory; after a kill they are read from the log again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from changeover.gateway.accesslog import Entry
from changeover.node.card import Card
from changeover.node.judging import Judging
from changeover.observer.accumulate import Accumulator
from changeover.observer.late import Late
from changeover.observer.log_reading import LogReading
from changeover.observer.seconds import Seconds
from changeover.observer.slice_log import SliceLog
from changeover.observer.throttle import Throttle
from changeover.observer.unsaved import Unsaved
from changeover.plan.subsets import subsets_read
from changeover.site.site import Site

LOG = logging.getLogger("changeover.node")

SECOND_SETTLES = 0.35
"""A second is summed this long after its end, when Envoy has flushed its log."""
ALL_SECONDS = 1 << 30
SLICES_SECONDS = 1.9


class Measuring:
    """Measures for one plan. `tick` belongs to one thread, `save` to another.

    Args:
        site: The migration, with the node's own gateway.
        card: Where is noted until when everything is in the store.
        judging: Learns what is measured.
    """

    def __init__(self, site: Site, card: Card, judging: Judging) -> None:
        self._site, self._card, self._judging = site, card, judging
        self._name = site.gateway.name
        files = site.gateway.files
        self._unsaved, self.slices = Unsaved(), SliceLog(site)
        self._access_log = LogReading(site, self.slices, files.root / "node.json")
        self._accumulator = Accumulator(
            first=self._access_log.first, subsets=subsets_read(site.plan), gateway=self._name)
        self._seconds, self._throttle = Seconds(), Throttle()
        self._summed = 0
        self._late = Late(site, files.root / "late.json")
        self.is_new = threading.Event()
        """Set when there is something to send."""

    def tick(self) -> None:
        """Read what Envoy wrote, and sum the seconds that are complete."""
        self._access_log.read(self._count)
        self._access_log.reach(self._is_stored)
        complete = int(time.time() - SECOND_SETTLES)
        # after a pause: no further than the log was read
        read_to = self._accumulator.newest - 1 if self._access_log.is_behind else complete
        due = self._seconds.due(complete, read_to=read_to, most=ALL_SECONDS)
        if due.set_back_to is not None:
            self._set_back(due.set_back_to)
        if due.seconds:
            self._sum(due.seconds.stop)
        self._access_log.rotate()

    def _count(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._accumulator.add(entry)
        self._judging.read(entries)

    def _is_stored(self, second: int) -> bool:
        return second < self._seconds.judged and not self._unsaved.has_until(second)

    def _sum(self, before: int) -> None:
        changed = self._accumulator.pop_changed(before)
        self._unsaved.add(changed, self._accumulator.pop_user_errors())
        self._judging.feed(changed, before)
        self._summed = before
        self.is_new.set()

    def _set_back(self, to: int) -> None:
        LOG.warning("the clock was set back to %d; its seconds are measured anew", to)
        self._sum(self._accumulator.newest + 1)
        self._accumulator.set_back(to)
        self._judging.set_back(to)
        self._access_log.set_back()

    def save(self) -> None:
        """Send what is not in the store yet; what could not be sent stays.

        Raises:
            StoreError: The store cannot be written.
        """
        until = self._summed
        self._late.save(self._unsaved)
        self._card.measured_until = until
        self._late.sum_up_when_due()
        if self._throttle.is_due("slices", SLICES_SECONDS):
            self.slices.save()

    def finish(self) -> None:
        """Count and send the last requests, after Envoy has ended.

        Raises:
            StoreError: The store cannot be written; the next start reads them from the log.
        """
        self._access_log.read(self._count)
        self._access_log.reach(self._is_stored)
        self._sum(int(time.time()) + 1)
        self.save()
        self.slices.save()
        # not forgotten: who sums at this moment may be without them, and the next start is not
        self._late.sum_up()
