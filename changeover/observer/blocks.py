"""Seconds added up to blocks, so that a long window is not added up anew every second.

A window of ten minutes is about 30 samples instead of 600: single seconds at its ends, blocks of
ten seconds and of a minute between. A late second has its blocks made anew. Users are left out, and
durations where nobody asks for them, because no trigger reads them and they cost most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Measurements, Sample, combine, of_subset

SHORT, LONG = 10, 60
_NAMES = [each.name for each in fields(Measurements)]
Rows = Callable[[str, int, int], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is kept of samples.

    Args:
        name: The name that they are sampled under.
        subset: The subset of requests that is read; None: all of them.
        is_timed: Whether durations are read.
    """

    name: str
    subset: str | None = None
    is_timed: bool = False

    def reduced(self, row: Sample) -> Sample:
        """Return a sample with what is read of it."""
        row = of_subset(row, self.subset)
        row = replace(row, users={}, subsets={}, durations=Histogram())
        return row if self.is_timed else replace(row, latency=Histogram())


class Blocks:
    """Makes and keeps blocks.

    Args:
        rows: Returns the samples of a name in [start, end), single seconds.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._known: dict[tuple[Kind, int, int], Sample | None] = {}
        self._kinds: set[Kind] = set()

    def covering(self, kind: Kind, start: int, end: int) -> list[Sample]:
        """Return samples that cover [start, end): blocks where they fit, seconds elsewhere."""
        self._kinds.add(kind)
        found: list[Sample] = []
        at = start
        while at < end:
            # aligned to the clock, so that every trigger's window finds the same blocks
            size = next((size for size in (LONG, SHORT) if not at % size and at + size <= end), 0)
            if size:
                block = self._block(kind, at, size)
                found += [block] if block else []
                at += size
            else:
                until = min(end, (at // SHORT + 1) * SHORT)
                found += map(kind.reduced, self._rows(kind.name, at, until))
                at = until
        return found

    def changed(self, name: str, at: int) -> None:
        """Note that a second has other numbers now."""
        # of this second alone: all other blocks keep what was added up
        for kind in self._kinds:
            if kind.name == name:
                for size in (SHORT, LONG):
                    self._known.pop((kind, size, at // size * size), None)

    def forget(self, is_kept: Callable[[int, int], bool]) -> None:
        """Forget blocks [start, end) that are not to be kept."""
        self._known = {key: block for key, block in self._known.items()
                       if is_kept(key[2], key[2] + key[1])}

    def _block(self, kind: Kind, at: int, size: int) -> Sample | None:
        """Return a block; None where nothing was measured: that is no second that was watched."""
        key = kind, size, at
        if key not in self._known:
            if size == SHORT:
                rows = [kind.reduced(row) for row in self._rows(kind.name, at, at + size)]
            else:  # of its blocks of ten seconds: a late second costs one of them
                rows = self._shorter(kind, at)
            self._known[key] = _added(kind.name, at, size, rows) if rows else None
        return self._known[key]

    def _shorter(self, kind: Kind, at: int) -> list[Sample]:
        found = [self._block(kind, start, SHORT) for start in range(at, at + LONG, SHORT)]
        return [each for each in found if each is not None]


def _added(name: str, at: int, size: int, rows: list[Sample]) -> Sample:
    total = combine(rows, seconds=size)
    sums = {each: getattr(total, each) for each in _NAMES}
    return Sample(name, at, size, watched=total.watched, listened=total.listened, **sums)
