"""Deleting measurements that are too old: seconds only when they are in their minute.

With its seconds a minute is closed: what nodes measured in it becomes one row over all of them, so
that months do not grow with nodes. A second that comes after that is added, once, and deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import CursorResult, delete
from sqlalchemy.orm import Session

from changeover.analysis.minute_seconds import (
    NODES,
    UNKNOWN,
    Step,
    added,
    added_to_nodes,
    is_in,
    mask_of,
    step,
    watched_by,
)
from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.plan.procedures import RetentionSpec
from changeover.store import minute_seconds
from changeover.store.covering import HOUR, MINUTE, SECOND
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store
from changeover.store.hours import forget_hours
from changeover.store.minute_seconds import MEASURED, Known, MinuteSecondsRow
from changeover.store.samples import (
    SAMPLED,
    SampleRow,
    first_from,
    first_open_minute,
    read_rows,
    sum_of,
    write_in,
)
from changeover.store.summing import lock_sums
from changeover.store.upserts import chunks

PRUNED_AT_ONCE = 2_000
"""Rows that one transaction deletes: nobody else waits for long."""
CLOSED_AT_ONCE, CLOSED_ROWS = 240, 200_000
"""Minutes that one call closes, and rows of seconds after which it closes no more: of hundreds of
nodes a minute has tens of thousands. The rest is left to the next time."""


def prune(store: Store, migration: str, retention: RetentionSpec, *, now: datetime) -> int:
    """Delete what is older than its retention; return how many rows were.

    Seconds go by whole minutes, after they were summed up.
    """
    with store.read() as session:
        open_minute = first_open_minute(session, migration)
    seconds_before = int((now - retention.seconds).timestamp())
    # what is not rolled up yet would be lost for ever
    if open_minute is not None:
        seconds_before = min(seconds_before, open_minute)
    minutes_before = int((now - retention.minutes).timestamp())
    deleted = _close(store, migration, seconds_before)
    deleted += _delete(store, migration, (SHADOW,), SECOND, seconds_before)
    deleted += _delete(store, migration, SAMPLED, MINUTE, minutes_before)
    with store.read() as session:
        oldest = first_from(session, migration, MINUTE, 0, of=MEASURED)
    # a minute that is stored and has no mask would count a late second again
    masks_before = minutes_before if oldest is None else min(minutes_before, oldest)
    old = (MinuteSecondsRow.migration == migration, MinuteSecondsRow.system.in_(MEASURED),
           MinuteSecondsRow.at < masks_before)
    delete_oldest(store, MinuteSecondsRow, MinuteSecondsRow.at, old, most=PRUNED_AT_ONCE)
    # an hour that began before holds minutes that are kept
    return deleted + _delete(store, migration, SAMPLED, HOUR, minutes_before - HOUR)


def _delete(
    store: Store, migration: str, systems: tuple[str, ...], resolution: int, before: int
) -> int:
    old = (SampleRow.migration == migration, SampleRow.system.in_(systems),
           SampleRow.resolution == resolution, SampleRow.at < before)
    return delete_oldest(store, SampleRow, SampleRow.at, old, most=PRUNED_AT_ONCE)


def _close(store: Store, migration: str, before: int) -> int:
    """Close the oldest minutes that end by a second, or later ones' seconds of closed ones."""
    deleted = 0
    for _ in range(CLOSED_AT_ONCE):
        with store.read() as session:
            first = first_from(session, migration, SECOND, 0, of=MEASURED)
        if first is None or first // MINUTE * MINUTE + MINUTE > before:
            break
        deleted += _close_minute(store, migration, first // MINUTE * MINUTE)
        if deleted >= CLOSED_ROWS:
            break
    return deleted


def _close_minute(store: Store, migration: str, at: int) -> int:
    """Close one minute of all systems, in one transaction; return how many seconds were deleted."""
    span, deleted, has_changed = range(at, at + MINUTE), 0, False
    with store.begin(is_durable=False) as session:
        # nobody sums up meanwhile, and nobody adds what came late
        lock_sums(session, migration)
        present = minute_seconds.present(session, migration, span)
        minutes = minute_seconds.locked(session, migration, present)
        for (system, _), stored in present.items():
            minute = _Minute(session, migration, system, span, minutes[system, at])
            has_changed = minute.take_in(stored) or has_changed
            minute.write()
            deleted += minute.delete_seconds(stored)
        minute_seconds.save(session, migration, minutes)
        # read from its minutes then
        if has_changed:
            hour = at // HOUR * HOUR
            forget_hours(session, migration, range(hour, hour + HOUR))
    return deleted


@dataclass
class _Minute:
    """A minute of one system that is closed, or was; its row in `minute_seconds` is locked."""

    session: Session
    migration: str
    system: str
    span: range
    known: Known
    rows: dict[str, Sample] = field(init=False)
    _changed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        rows = read_rows(self.session, self.migration, self.system, MINUTE,
                         span=range(self.span.start, self.span.start + 1))
        self.rows = {row.gateway: row for row in rows}

    def take_in(self, stored: dict[str, int]) -> bool:
        """Sum up what is not in yet, and have one row for all nodes; return whether any was not.

        Args:
            stored: By gateway the mask of the seconds that are stored.
        """
        masks = self.known.masks
        if not self.known.is_closed:
            for gateway in self.rows:  # a version without masks summed it up
                masks.setdefault(gateway, UNKNOWN)
        for gateway, mask in stored.items():
            next_step = step(masks.get(gateway, 0), mask, may_have_changed=False)
            if next_step is not Step.NOTHING:
                self._sum_up(gateway, is_anew=next_step is Step.ANEW)
        is_news = bool(self._changed)
        if not self.known.is_closed:
            self._join_nodes()
        return is_news

    def _sum_up(self, gateway: str, *, is_anew: bool) -> None:
        found = read_rows(self.session, self.migration, self.system, SECOND,
                          span=self.span, of=(gateway,))
        masks, place = self.known.masks, gateway
        before = masks.get(gateway, 0)
        new = [each for each in found if not is_in(before, each.at)]
        masks[gateway] = before | mask_of(each.at for each in new)
        if self.known.is_closed and gateway != MAIN_GATEWAY:
            place = NODES
        row = self.rows.get(place)
        if row is None or (is_anew and not self.known.is_closed):
            self.rows[place] = sum_of(self.system, place, self.span, found if is_anew else new)
        elif place == NODES:
            self.rows[place] = added_to_nodes(row, self._of_nodes(), new)
        else:
            self.rows[place] = added(row, before, new)
        self._changed.add(place)

    def _of_nodes(self) -> dict[str, int]:
        return {name: mask for name, mask in self.known.masks.items() if name != MAIN_GATEWAY}

    def _join_nodes(self) -> None:
        nodes = [row for name, row in self.rows.items() if name != MAIN_GATEWAY]
        if nodes:
            total = sum_of(self.system, NODES, self.span, nodes)
            main = self.rows.get(MAIN_GATEWAY)
            self.rows = {NODES: watched_by(total, self._of_nodes())}
            self.rows |= {} if main is None else {MAIN_GATEWAY: main}
            self._changed.add(NODES)
        self.known.is_closed = True

    def write(self) -> None:
        """Write the rows that changed, and delete those that are in the sum of nodes."""
        write_in(self.session, self.migration, [
            row for name, row in self.rows.items() if name in self._changed])
        self.session.execute(delete(SampleRow).where(
            SampleRow.migration == self.migration, SampleRow.system == self.system,
            SampleRow.resolution == MINUTE, SampleRow.at == self.span.start,
            SampleRow.gateway.not_in(self.rows)).execution_options(synchronize_session=False))

    def delete_seconds(self, stored: dict[str, int]) -> int:
        """Delete the seconds whose bit is set; return how many.

        One that came since they were read has none, and stays until the next time.
        """
        deleted = 0
        gateways_by_mask: dict[int, list[str]] = {}
        for gateway in stored:
            gateways_by_mask.setdefault(self.known.masks[gateway], []).append(gateway)
        for mask, gateways in gateways_by_mask.items():
            seconds = [at for at in self.span if is_in(mask, at)]
            for some in chunks(gateways):
                done = self.session.execute(delete(SampleRow).where(
                    SampleRow.migration == self.migration, SampleRow.system == self.system,
                    SampleRow.resolution == SECOND, SampleRow.at.in_(seconds),
                    SampleRow.gateway.in_(some)).execution_options(synchronize_session=False))
                deleted += done.rowcount if isinstance(done, CursorResult) else 0
        return deleted
