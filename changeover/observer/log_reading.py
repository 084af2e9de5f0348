"""The gateway's access log, read once for samples and sums by bucket, also over a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from changeover.errors import Unreachable
from changeover.gateway.accesslog import Entry
from changeover.gateway.hosts import hosts_of
from changeover.gateway.long_connections import was_ended
from changeover.gateway.tailer import Tailer, earliest
from changeover.observer.position import Position
from changeover.observer.slice_log import SliceLog
from changeover.observer.throttle import Throttle
from changeover.site.site import Site

LOG = logging.getLogger("changeover.observer")

LOG_LIMIT_BYTES = 64 << 20
ROTATION_SECONDS = 60


class LogReading:
    """Reads the log of this machine's gateway.

    Samples and sums by bucket are saved at different moments, each with its own place in the log. A
    restart begins at the earlier one; what is read again is counted once only, in both.

    Args:
        site: The migration on this machine.
        slices: The sums by bucket.
        file: Where the place of the samples is kept.
    """

    def __init__(self, site: Site, slices: SliceLog, file: Path) -> None:
        self._admin, self._slices = site.gateway.admin, slices
        self._position = Position(file)
        place, first = self._position.read()
        sums = slices.place
        # without a place of the samples all of the file counts: they are replaced, not added
        begin = [(sums[0], 0)] if place is None and sums is not None else [place, sums]
        log = site.gateway.files.access_log
        self._tailer = Tailer(
            log, hosts_of(site.plan), position=earliest(log, begin),
            leaves_out=lambda entry: was_ended(
                entry, site.gateway.hops(), site.plan.rollback.grace))
        # a clock that was set back since must not leave out what comes now
        self.first = min(first, int(time.time()))
        """The first second to count, in Unix time."""
        self._throttle, self._must_reopen = Throttle(), False

    @property
    def path(self) -> Path:
        """The log."""
        return self._tailer.path

    @property
    def is_behind(self) -> bool:
        """Whether much is not read yet, as after a pause."""
        return self._tailer.is_behind()

    def read(
        self, count: Callable[[Sequence[Entry]], None], *, is_withholding: bool = False
    ) -> int:
        """Count what Envoy wrote since the last call; return how many lines cannot be read.

        Args:
            count: Counts requests in samples; after a restart also those that are in a sum by
                bucket already.
            is_withholding: Whether back-pressure spares the candidate at present.
        """
        unreadable = self._tailer.unreadable
        if (place := self._slices.place) is not None:
            for entries in self._tailer.until(place):
                count(entries)
        entries = self._tailer.read()
        count(entries)
        self._slices.add(entries, self._tailer.position, is_withholding=is_withholding)
        lost = self._tailer.unreadable - unreadable
        if lost:
            LOG.warning("lines of the access log that cannot be read: %d", lost)
        return lost

    def reach(self, is_stored: Callable[[int], bool]) -> None:
        """Note how far the log was read; save from where a restart goes on.

        Args:
            is_stored: Whether all samples of a second and before are in the store.
        """
        # a position is of a moment at which all lines of the second were read
        if not self._tailer.is_behind():
            self._position.reach(int(time.time()), self._tailer.position, is_stored)

    def set_back(self) -> None:
        """Forget what was reached: the clock was set back, and its seconds come again."""
        self._position.set_back()

    def rotate(self) -> int:
        """Begin a new log where it is long; return how many bytes were not read before they went.

        A log is kept while a restart would read it, up to a gigabyte.
        """
        dropped = self._tailer.dropped
        needed = self._position.place, self._slices.saved_place
        if self._throttle.is_due("rotation", ROTATION_SECONDS) \
                and self._tailer.rotate(LOG_LIMIT_BYTES, needed=needed):
            self._must_reopen = True
        # Retried at every call: until Envoy has opened a new log it writes to the moved one.
        if self._must_reopen:
            try:
                self._admin.reopen_logs()
                self._must_reopen = False
            except Unreachable:
                pass  # an Envoy that starts opens a new one by itself; asked again until then
        lost = self._tailer.dropped - dropped
        if lost:
            LOG.error("the access log was not read for so long that %d bytes of it are in no "
                      "metric", lost)
        return lost
