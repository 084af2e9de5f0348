"""The node's access log as one-second samples and sums by bucket, sent to the store.

It measures as the observer of the main machine does, with the same parts, under the node's name.
While the store is away both stay in memory; after a kill they are read from the log again.
"""

from __future__ import annotations

import logging
import threading
import time

from changeover.errors import Unreachable
from changeover.gateway.accesslog import Entry, Tailer
from changeover.gateway.hosts import hosts_of
from changeover.gateway.long_connections import was_ended
from changeover.node.card import Card
from changeover.node.judging import Judging
from changeover.observer.accumulate import Accumulator
from changeover.observer.late import Late
from changeover.observer.position import Position, earlier
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
LOG_LIMIT_BYTES = 64 << 20


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
        self._position = Position(files.root / "node.json")
        self._unsaved, self.slices = Unsaved(), SliceLog(site)
        place, first = self._position.read()
        self._tailer = Tailer(
            files.access_log, hosts_of(site.plan), position=earlier(place, self.slices.place),
            leaves_out=lambda entry: was_ended(
                entry, site.gateway.hops(), site.plan.rollback.grace))
        # a clock that was set back since must not leave out what comes now
        first = min(first, int(time.time()))
        self._accumulator = Accumulator(
            first=first, subsets=subsets_read(site.plan), gateway=self._name)
        self._seconds, self._throttle = Seconds(), Throttle()
        self._must_reopen, self._summed = False, 0
        self._late = Late(site, files.root / "late.json")
        self.is_new = threading.Event()
        """Set when there is something to send."""

    def tick(self) -> None:
        """Read what Envoy wrote, and sum the seconds that are complete."""
        self._read_log()
        complete = int(time.time() - SECOND_SETTLES)
        # after a pause: no further than the log was read
        read_to = self._accumulator.newest - 1 if self._tailer.is_behind() else complete
        due = self._seconds.due(complete, read_to=read_to, most=ALL_SECONDS)
        if due.set_back_to is not None:
            self._set_back(due.set_back_to)
        if due.seconds:
            self._sum(due.seconds.stop)
        self._rotate()

    def _read_log(self) -> None:
        unreadable = self._tailer.unreadable
        if known := self.slices.bytes_known(self._tailer.position):
            self._count(self._tailer.read_on(known))  # after a restart: samples only
        entries = self._tailer.read()
        self._count(entries)
        self._judging.read(entries)
        self.slices.add(entries, self._tailer.position)
        if lost := self._tailer.unreadable - unreadable:
            LOG.warning("lines of the access log that cannot be read: %d", lost)
        if not self._tailer.is_behind():
            self._position.reach(int(time.time()), self._tailer.position, self._is_stored)

    def _count(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._accumulator.add(entry)

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
        self._position.set_back()

    def _rotate(self) -> None:
        if self._throttle.is_due("rotation", 60) and self._tailer.rotate(LOG_LIMIT_BYTES):
            self._must_reopen = True
        if self._must_reopen:
            try:
                self._site.gateway.admin.reopen_logs()
            except Unreachable:
                return  # an Envoy that starts opens a new one by itself
            self._must_reopen = False

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
        self._read_log()
        self._sum(int(time.time()) + 1)
        self.save()
        self.slices.save()
        # not forgotten: who sums at this moment may be without them, and the next start is not
        self._late.sum_up()
