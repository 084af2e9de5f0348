"""Reading the sums of buckets: of a stage, of the time before it, and summing up old ones."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.analysis.sequential.parts import HOUR, into_parts
from changeover.analysis.sequential.slices import Slice, merged, pack, unpack
from changeover.domain.procedures import again_steps, of_cutover
from changeover.domain.slices import PackedSlice
from changeover.store import cutovers, slices, steps
from changeover.store.engine import Store

PAST = timedelta(days=7)
"""Before a stage, as far back as buckets' own past is looked at."""
SUMMED_UP_AFTER = timedelta(hours=2)
"""Older slices change no more: even a late log line has come by then."""


@dataclass(frozen=True)
class BucketSums:
    """Reads the sums of one migration's buckets."""

    store: Store
    migration: str

    def of_stage(self, weight: int, *, start: datetime, end: datetime) -> list[Slice]:
        """Return what was counted under a split: the newest hour by the minute, others by the hour.

        Args:
            weight: Buckets of the candidate, 1..9_999.
            start: When the stage's traffic is looked at from; slices that began before are left
                out.
            end: Slices that began later are left out.
        """
        found = self.of_split(weight, start=start, end=end)
        return into_parts(found, int(end.timestamp()))

    def of_split(self, weight: int, *, start: datetime, end: datetime) -> Iterable[Slice]:
        """Return the slices of a split that began in [start, end), oldest first."""
        return self._between(weight, start, end)

    def past(self, before: datetime) -> Slice:
        """Return what buckets did while everyone was on the baseline, up to a time."""
        found = self._between(0, before - PAST, before)
        second = int(before.timestamp())
        # with an empty one: without any, nothing could be merged
        kept = [Slice(0, second, second, {})]
        for each in found:
            if each.end <= second + 1:
                kept.append(each)
        return merged(kept)

    def sum_up(self, now: datetime) -> int:
        """Sum up old slices by the hour; return how many hours were.

        A stage of the newest cutover that was entered within an hour keeps slices of its own.
        """
        last = int((now - SUMMED_UP_AFTER).timestamp()) // HOUR * HOUR
        entered = self._stage_starts()
        # never across where a stage begins or its users came again: its evidence begins there
        groups: dict[tuple[str, int, int, int], list[int]] = defaultdict(list)
        store, migration = self.store, self.migration
        for gateway, weight, start in slices.keys(store, migration, end=last):
            stage = bisect_right(entered, start)
            key = gateway, weight, start // HOUR, stage
            groups[key].append(start)
        number = 0
        for (gateway, weight, _, _), starts in groups.items():
            # summed up already
            if len(starts) == 1:
                continue
            found = slices.of_starts(
                store, migration, gateway=gateway, weight=weight, starts=starts)
            whole = packed(merged(map(opened, found)))
            slices.replace(store, migration, found, whole)
            number += 1
        return number

    def _stage_starts(self) -> list[int]:
        """Return the seconds from which on slices are the newest cutover's stages', in order."""
        cutover = cutovers.latest(self.store, self.migration)
        if cutover is None:
            return []
        begins, names = [], []
        for each in cutovers.stages(self.store, cutover.id):
            begins.append(each.entered_at)
            names += again_steps(each.key, each.round)
        if names:
            subject = of_cutover(cutover.id)
            begins += steps.ends_of(self.store, self.migration, subject, names)
        # rounded up: the second in which it began is partly of before
        return sorted(-int(-each.timestamp() // 1) for each in begins)

    def _between(self, weight: int, start: datetime, end: datetime) -> Iterable[Slice]:
        # both rounded inwards: a second is counted only when all of it is meant
        first = -int(-start.timestamp() // 1)
        last = int(end.timestamp())
        found = slices.between(
            self.store, self.migration, weight=weight, start=first, end=last)
        return map(opened, found)


def packed(one: Slice) -> PackedSlice:
    """Return a slice as the store has it."""
    return PackedSlice(
        one.gateway, one.weight, one.start, one.end, pack(one.sums), one.excluded)


def opened(one: PackedSlice) -> Slice:
    """Return a slice of the store, unpacked."""
    sums = unpack(one.sums)
    return Slice(
        one.weight, one.start, one.end, sums, one.excluded, one.gateway)
