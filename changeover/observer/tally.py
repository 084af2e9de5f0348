"""The sums of the stage's buckets, in memory: evidence for triggers while the store is away.

1. Every slice that changed is put here, also one that cannot be saved.
2. When a stage begins, the store's slices of it are added, once: those of before a restart.
3. A slice that a newer one followed never changes again, and is added to its part (`parts`): its
   minute, and later its hour. So a look costs one addition of the open slice, however long the
   stage is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from changeover.analysis.sequential.parts import MINUTE, part_of, recent_from
from changeover.analysis.sequential.slices import Slice, merged

KEPT_SECONDS = 600
"""Slices of other splits are kept for so long: the stage they belong to may just have begun."""


class Tally:
    """Filled by the thread that saves slices, read by the one that weighs evidence."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[tuple[int, int], Slice] = {}
        self._weight, self._since = 0, 0
        self._parts: dict[int, Slice] = {}
        self._open: Slice | None = None

    def put(self, slices: Iterable[Slice]) -> None:
        """Add slices, oldest first; one that is put again replaces itself."""
        with self._lock:
            for each in slices:
                self._recent[each.weight, each.start] = each
                if each.weight == self._weight and each.start >= self._since:
                    self._add(each)
            newest = max((each.end for each in self._recent.values()), default=0)
            for key, each in list(self._recent.items()):
                if each.end < newest - KEPT_SECONDS:
                    del self._recent[key]

    def begin(self, weight: int, since: int, known: Iterable[Slice]) -> None:
        """Begin a stage.

        Args:
            weight: Buckets of the candidate.
            since: Unix second; slices that began before are left out.
            known: The store's slices of the stage.
        """
        with self._lock:
            self._weight, self._since = weight, since
            self._parts, self._open = {}, None
            found = {each.start: each for each in known}
            # what is in memory is as new as in the store, or newer
            found |= {each.start: each for each in self._recent.values() if each.weight == weight}
            for start in sorted(found):
                if start >= since:
                    self._add(found[start])

    def parts(self) -> list[Slice]:
        """Return what was counted of the stage: the newest hour by the minute, others by the hour.

        A part that did not change since is the same object as before.
        """
        with self._lock:
            # a copy: the open slice is added to what is shown, and comes again fuller
            parts = dict(self._parts)
            if self._open is not None:
                _add_to(parts, self._open.start // MINUTE * MINUTE, self._open)
            return [parts[key] for key in sorted(parts)]

    def _add(self, each: Slice) -> None:
        if self._open is not None and each.start < self._open.start:
            return  # it was added to its part when the newer one came
        if self._open is not None and each.start > self._open.start:
            _add_to(self._parts, self._open.start // MINUTE * MINUTE, self._open)
            self._sum_up(recent_from(each.start))
        self._open = each

    def _sum_up(self, recent: int) -> None:
        """Add minutes to their hours that are no longer recent."""
        for key in sorted(self._parts):
            hour = part_of(key, recent)
            if hour != key:
                _add_to(self._parts, hour, self._parts.pop(key))


def _add_to(parts: dict[int, Slice], key: int, each: Slice) -> None:
    known = parts.get(key)
    parts[key] = each if known is None else merged([known, each])
