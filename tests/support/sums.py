"""Measurements that come in any order, and beside them the plain sum of what was sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import strategies as st

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.minute_seconds import is_in, opened
from changeover.analysis.window import GATEWAY, MAIN_GATEWAY, Sample, Window, combine
from changeover.plan.procedures import RetentionSpec
from changeover.store import (
    compared_sums,
    hours,
    late_sums,
    minute_seconds,
    minutes,
    pruning,
    samples,
)
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from changeover.store.minute_seconds import MinuteSecondsRow

FIRST = 1_700_002_800
"""The start of an hour."""
MINUTES = (59 * MINUTE, HOUR, 2 * HOUR)
"""Where minutes of traffic begin: in three hours, of which two end."""
GATEWAYS = (MAIN_GATEWAY, "edge-1", "edge-2")
SPAN = range(FIRST, FIRST + 3 * HOUR)

Operation = tuple[str, int, int, int, int]
"""What, a gateway's and a minute's number, and the first and last second of that minute."""
# few seconds and minutes: they meet more often
_operation = st.tuples(
    st.sampled_from(["send", "send", "send", "again", "roll", "hours", "late", "prune", "compare"]),
    st.integers(0, len(GATEWAYS) - 1), st.sampled_from([0, 0, 1, 2]), st.integers(0, 3),
    st.integers(0, 3),
).map(lambda each: (*each[:3], *sorted(each[3:])))
operations = st.lists(_operation, min_size=8, max_size=24)


def sample(gateway: str, at: int, version: int = 0) -> Sample:
    """Return what a gateway measured in a second; another version of it says more."""
    place = GATEWAYS.index(gateway)
    return Sample(
        "candidate", at, gateway=gateway, requests=1 + at % 7 + version, watched=1, listened=0,
        errors={gateway: 1}, statuses={"200": at % 7}, answer_logs=at % 3 / 2,
        latency=Histogram.of([1000 * (place + 1)] * (1 + version)),
        users={"answer": (at % 64 * 4 + place,)})


@dataclass
class Ledger:
    """A migration's measurements in a store, and what was sent of them.

    Args:
        store: The store.
        migration: Name of a migration of which nothing is stored.
    """

    store: Store
    migration: str
    sent: dict[tuple[str, int], Sample] = field(default_factory=dict)
    compared: int = 0

    def do(self, operation: Operation) -> None:
        """Carry out one operation."""
        what, gateway, minute, first, last = operation
        at = FIRST + MINUTES[minute]
        seconds = range(at + first, at + last + 1)
        # everything up to this minute, as if it had ended some time ago
        now = clock.from_timestamp(at + MINUTE + 30)
        match what:
            case "send":
                self._send([self._known(GATEWAYS[gateway], each) for each in seconds])
            case "again":
                self._send_again(GATEWAYS[gateway], seconds)
            case "roll":
                minutes.rollup(self.store, self.migration, now=now)
            case "hours":
                # of those whose minutes are summed up
                hours.rollup(self.store, self.migration, now=clock.from_timestamp(SPAN.stop + HOUR))
            case "late":
                late_sums.sum_up(self.store, self.migration, GATEWAYS[gateway], SPAN)
            case "prune":
                self.prune(at + MINUTE)
            case "compare":
                self.compared += 1
                with self.store.begin() as session:
                    compared_sums.add_compared_in(
                        session, self.migration, [(at + first, True, 1.0)],
                        gateway=GATEWAYS[gateway])

    def _known(self, gateway: str, at: int) -> Sample:
        """Return a second as it was sent before, or a new one."""
        return self.sent.get((gateway, at)) or sample(gateway, at)

    def _send(self, found: list[Sample]) -> None:
        samples.write(self.store, self.migration, [
            *found, *(replace(each, system=GATEWAY) for each in found)])
        for each in found:
            # of a closed minute, what is in it stays as it was
            if not self._is_settled(each):
                self.sent[each.gateway, each.at] = each

    def _send_again(self, gateway: str, seconds: range) -> None:
        """Send seconds again with late lines, and sum them up, as their gateway does."""
        known = [self.sent[gateway, at] for at in seconds if (gateway, at) in self.sent]
        self._send([sample(gateway, each.at, version=each.latency.total) for each in known])
        late_sums.sum_up(self.store, self.migration, gateway, SPAN)

    def _is_settled(self, one: Sample) -> bool:
        key = one.system, one.at // MINUTE * MINUTE
        with self.store.read() as session:
            row = session.get(MinuteSecondsRow, (self.migration, *key))
            return row is not None and row.is_closed and is_in(
                opened(row.gateways).get(one.gateway, 0), one.at)

    def prune(self, before: int) -> None:
        """Delete seconds that are older than one."""
        kept = RetentionSpec(seconds=timedelta(0), minutes=timedelta(days=100))
        pruning.prune(self.store, self.migration, kept, now=clock.from_timestamp(before))

    def finish(self) -> None:
        """Have everything summed up and no seconds left."""
        minutes.rollup(self.store, self.migration, now=clock.from_timestamp(SPAN.stop + HOUR))
        for gateway in GATEWAYS:
            late_sums.sum_up(self.store, self.migration, gateway, SPAN)
        self.prune(SPAN.stop + HOUR)

    def seconds(self) -> int:
        """Return how many seconds of systems are stored."""
        with self.store.read() as session:
            return sum(len(samples.read_rows(session, self.migration, system, 1, span=SPAN))
                       for system in minute_seconds.MEASURED)

    def window(self) -> Window:
        """Return what a gate reads."""
        return samples.window(
            self.store, self.migration, "candidate", start=clock.from_timestamp(SPAN.start),
            end=clock.from_timestamp(SPAN.stop))

    def plain(self) -> Window:
        """Return the sum of what was sent."""
        return combine(self.sent.values(), seconds=len(SPAN))
