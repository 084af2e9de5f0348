"""Since when a gateway sent seconds whose minutes may have been summed up without them.

A node was cut off from the store; or the main machine was away, and a spare observer summed up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from pathlib import Path

from changeover.errors import EnvironmentProblem
from changeover.machine.files import write_atomically
from changeover.observer.unsaved import Unsaved
from changeover.site.site import Site
from changeover.store import late_sums
from changeover.store.covering import MINUTE

LOG = logging.getLogger("changeover.observer")

SUMMED_UP_FROM = 20
"""Seconds that come later than this may be of a minute that was summed up without them."""
LATE_SECONDS = 10.0
"""How long after them their minutes are summed up anew: who sums at this moment is done then."""


class Late:
    """The second from which on minutes must be summed up anew.

    It is kept in a file from before anything is sent until they are summed up: a process that is
    killed in between, or a store that takes a part only, must not leave minutes that lack seconds.
    One thread may save while another one sums up.

    Args:
        site: The migration, with the gateway whose seconds they are.
        path: The file.
    """

    def __init__(self, site: Site, path: Path) -> None:
        self._site, self._path, self._sent = site, path, time.monotonic()
        self._lock = threading.Lock()
        self.since = _read(path)
        """Unix second; None when there is nothing to sum up."""

    def save(self, unsaved: Unsaved) -> None:
        """Save what is not in the store yet, and note what of it is late.

        Raises:
            StoreError: The store cannot be written.
        """
        oldest = unsaved.oldest
        self._note(oldest)
        try:
            unsaved.save(self._site.store, self._site.migration)
        finally:  # also when the store took a part only
            self._note(oldest)

    def _note(self, oldest: int | None) -> None:
        if oldest is None or oldest >= time.time() - SUMMED_UP_FROM:
            return
        with self._lock:
            self._sent = time.monotonic()
            if self.since is None or oldest < self.since:
                self.since = oldest
                # a full disk: it is known while the process runs
                with contextlib.suppress(EnvironmentProblem):
                    write_atomically(self._path, json.dumps({"since": oldest}))

    def sum_up_when_due(self) -> None:
        """Sum up their minutes anew once they were sent long enough ago, and forget them.

        While somebody else sums up nothing is done: the next call does it.

        Raises:
            StoreError: The store cannot be used.
        """
        with self._lock:
            sent = self._sent
        if time.monotonic() - sent < LATE_SECONDS or not self.sum_up(waits=False):
            return
        with self._lock:
            # others were sent meanwhile
            if self._sent != sent:
                return
            self.since = None
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def sum_up(self, *, waits: bool = True) -> bool:
        """Sum up their minutes anew; they are not forgotten.

        Args:
            waits: Wait for who sums up at this moment.

        Returns:
            Whether there were any and it was done.

        Raises:
            StoreError: The store cannot be used.
        """
        since, site = self.since, self._site
        if since is None:
            return False
        span = range(since // MINUTE * MINUTE, int(time.time()))
        number = late_sums.sum_up(
            site.store, site.migration, site.gateway.name, span, waits=waits)
        if number is not None:
            LOG.info("minutes that were summed up without what came late, summed anew: %d", number)
        return number is not None


def _read(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text())["since"])
    # none, or a file that a full disk cut short
    except (OSError, ValueError, KeyError, TypeError):
        return None
