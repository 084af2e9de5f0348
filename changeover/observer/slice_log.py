"""Slices and the store: what is counted by bucket, saved with the place in the log it reaches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from changeover.analysis.sequential.counters import valued, wanted
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.slow import bound_of, condition_of, is_timed
from changeover.analysis.window import MAIN_GATEWAY
from changeover.clock import now
from changeover.domain.routing import ON_USERS
from changeover.domain.slices import LogPlace, SlowBound
from changeover.errors import StoreError
from changeover.gateway.accesslog import Entry, classify
from changeover.gateway.tailer import Place
from changeover.observer.slicing import Slicer
from changeover.observer.tally import Tally
from changeover.observer.throttle import Throttle
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import Source
from changeover.site.bucket_sums import opened, packed
from changeover.site.site import Site
from changeover.store import routing, slices

LOG = logging.getLogger("changeover.observer")

FREEZE_SECONDS = 5.0
KNOWN_FROM = timedelta(hours=24)
"""So much of the baseline's time tells from which duration on a request is slow."""
OPEN_FOR = 3600
"""A slice that began longer ago than this is not filled again after a restart."""


class SliceLog:
    """Fills slices from the access log and saves them.

    When the store cannot be read at the start, requests of that time are in no comparison, those of
    both systems alike; nothing is counted twice.

    Args:
        site: The migration on this machine.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._unsaved: dict[tuple[int, int], Slice] = {}
        self._slicer: Slicer | None = None
        self.saved_place: Place | None = None
        """Up to where all that counts is in the store: a restart goes on there."""
        self._bounds: list[SlowBound] = []
        self.tally = Tally()
        self._throttle = Throttle()
        self._restore()

    @property
    def place(self) -> Place | None:
        """Up to where the log is counted; None before the first request."""
        return self._slicer.place if self._slicer else None

    @property
    def bounds(self) -> dict[str, SlowBound]:
        """From which duration on requests are slow, by what is asked."""
        return {bound.condition: bound for bound in self._bounds}

    def add(
        self, entries: Iterable[Entry], reached: Place, *, is_withholding: bool = False
    ) -> None:
        """Count requests that were read from the log, up to a place in it.

        Args:
            entries: The requests.
            reached: Up to where the log was read.
            is_withholding: Whether back-pressure spares the candidate at present.
        """
        if self._slicer is None:
            return
        with self._lock:
            for entry in entries:
                outcome = classify(entry)
                if outcome is not None:
                    self._slicer.add(entry, outcome, is_withholding=is_withholding)
            self._slicer.reach(reached)

    def save(self) -> None:
        """Save what changed.

        Raises:
            StoreError: The store cannot be written; nothing is lost.
        """
        # as it is now; what comes while the store writes is saved the next time
        self.collect()
        if self._slicer is None:
            self._restore()
            return
        self._freeze()
        with self._lock:
            place, changed = self._slicer.place, dict(self._unsaved)
        if not changed or place is None:
            self.saved_place = place  # what came since counts in no sum
            return
        name = self._site.gateway.name
        content = [packed(replace(each, gateway=name)) for each in changed.values()]
        slices.save(self._site.store, self._site.migration, content, LogPlace(*place),
                    gateway=name)
        self.saved_place = place
        with self._lock:  # what changed meanwhile is saved the next time
            self._unsaved = {key: each for key, each in self._unsaved.items()
                             if each is not changed.get(key)}

    def collect(self) -> None:
        """Take what changed from the slicer: to be saved, and into the sums of the stage."""
        if self._slicer is None:
            return
        with self._lock:
            changed = self._slicer.pop_changed()
            self._unsaved |= {(each.weight, each.start): each for each in changed}
            self.tally.put(changed)

    def _freeze(self) -> None:
        """Freeze from which duration on requests are slow, while everyone is on the baseline.

        The observer that leads does it for all gateways. Nodes read what it froze, also after users
        were moved; and they may not read all that freezing takes.
        """
        site, unknown = self._site, self._unfrozen()
        if not unknown or not self._throttle.is_due("freeze", FREEZE_SECONDS):
            return
        if site.gateway.is_here and site.gateway.name != MAIN_GATEWAY:
            self._read_bounds()
            return
        # only the baseline's own times: users on the candidate would change what is slow for it
        if routing.read(site.store, site.migration).mode in ON_USERS:
            return
        # a window of a day is read once for all checks of a segment
        found, windows = [], {}
        for check in unknown:
            if check.part not in windows:
                windows[check.part] = site.metrics.window(
                    "baseline", start=now() - KNOWN_FROM, end=now(), segment=check.part)
            bound = bound_of(check, windows[check.part].latency)
            if bound is not None:
                found.append(bound)
        slices.freeze(site.store, site.migration, found, now=now())
        self._read_bounds()

    def _unfrozen(self) -> list[CheckSpec]:
        known = {bound.condition for bound in self._bounds}
        plan = self._site.plan
        asked = [check for checks in plan.all_gates.values() for check in checks]
        asked += [spec.as_check for spec in plan.triggers if spec.is_sequential]
        return [check for check in asked
                if is_timed(check) and condition_of(check) not in known]

    def _read_bounds(self) -> None:
        self._bounds = slices.slow_bounds(self._site.store, self._site.migration)
        if self._slicer is not None:
            with self._lock:
                self._slicer.time_by(self._bounds)

    def _restore(self) -> None:
        store, migration = self._site.store, self._site.migration
        name = self._site.gateway.name
        try:
            place = slices.place_of(store, migration, gateway=name)
            self._read_bounds()
            since = int(now().timestamp()) - OPEN_FOR
            known = [opened(each) for each in slices.newest(
                store, migration, gateway=name, since=since)]
        except StoreError as error:
            LOG.warning("requests are in no comparison with the baseline until the store can be "
                        "read: %s", error)
            return
        self.saved_place = None if place is None else (place.inode, place.offset)
        self._slicer = Slicer(
            self._site.plan.routing.rule, self.saved_place, known,
            wanted=wanted(self._site.plan), valued=valued(self._site.plan, Source.TRAFFIC))
        self._slicer.time_by(self._bounds)
        self.tally.put(sorted(known, key=lambda each: each.start))
