"""Times at the baseline that are as long as a stage's soak, and their sums by bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from changeover.analysis.sequential.parts import HOUR
from changeover.analysis.sequential.slices import Slice
from changeover.clock import from_timestamp
from changeover.procedures.backtest.timeline import Timeline
from changeover.site.bucket_sums import PAST, opened
from changeover.site.site import Site
from changeover.store import slices

MOST_SOAKS = 12
MOST_TIME = timedelta(days=14)
"""The newest are looked at: at most so many, and so much time in all, of each length."""
LEAST_SOAK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Soak:
    """A time at the baseline.

    Args:
        start: When a stage would have been entered.
        begin: When it would have settled.
        end: The soak's end.
    """

    start: datetime
    begin: datetime
    end: datetime


def newest_soaks(timeline: Timeline, length: timedelta, settles: timedelta) -> list[Soak]:
    """Return times as long as a soak, one beside the other, the newest first."""
    length = max(length, LEAST_SOAK)
    found: list[Soak] = []
    # at least one, however long the soak is
    most = max(1, min(MOST_SOAKS, MOST_TIME // length))
    for span in reversed(timeline.spans()):
        end = from_timestamp(span.end)
        while not span.is_on_users and end - length >= from_timestamp(span.start):
            if len(found) == most:
                return found
            found.append(Soak(end - length, end - length + settles, end))
            end -= length
    return found


@dataclass(slots=True)
class Counted:
    """The sums of a soak: hour by hour, and of the time before it."""

    hours: dict[int, Slice]
    past: Slice

    def add(self, one: Slice) -> None:
        """Add a slice to its hour."""
        hour = one.start // HOUR
        known = self.hours.get(hour)
        self.hours[hour] = one if known is None else plus(known, one)


def plus(known: Slice, one: Slice) -> Slice:
    """Return two slices as one."""
    sums = dict(known.sums)
    for name, numbers in one.sums.items():
        sums[name] = sums[name] + numbers if name in sums else numbers
    excluded = dict(known.excluded)
    for name, number in one.excluded.items():
        excluded[name] = excluded.get(name, 0) + number
    start, end = min(known.start, one.start), max(known.end, one.end)
    return Slice(known.weight, start, end, sums, excluded)


def counted(
    site: Site, soaks: Sequence[Soak], names: Collection[str]
) -> dict[Soak, Counted]:
    """Return the sums of some soaks; each slice is read once.

    Args:
        site: The migration.
        soaks: The soaks.
        names: The counters that are needed.
    """
    found = {each: Counted({}, _nothing(each)) for each in soaks}
    for one in _slices(site, soaks, names):
        for soak, sums in found.items():
            start, begin, end = (
                each.timestamp() for each in (soak.start, soak.begin, soak.end))
            if start - PAST.total_seconds() <= one.start and one.end <= start + 1:
                sums.past = plus(sums.past, one)
            # an hour's sum cannot be divided: what began while it would settle is in it
            elif start <= one.start < end and one.end > begin:
                sums.add(one)
    return found


def _nothing(soak: Soak) -> Slice:
    second = int(soak.start.timestamp())
    return Slice(0, second, second, {})


def _slices(
    site: Site, soaks: Sequence[Soak], names: Collection[str]
) -> Iterator[Slice]:
    """Yield the slices of the time in which everyone was on the baseline."""
    if not soaks:
        return
    first = min(each.start for each in soaks) - PAST
    last = max(each.end for each in soaks)
    day = timedelta(days=1)
    # a day at a time: not all of it is in memory at once
    while first < last:
        until = min(first + day, last)
        for each in slices.between(
                site.store, site.migration, weight=0, start=int(first.timestamp()),
                end=int(until.timestamp())):
            one = opened(each)
            sums = {}
            for name, numbers in one.sums.items():
                if name in names:
                    # wider than they are stored: weeks are added up
                    sums[name] = numbers.astype(np.int64)
            yield Slice(0, one.start, one.end, sums, one.excluded)
        first = until
