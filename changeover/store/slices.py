"""Slices of bucket sums, up to where in the access log they count, and what counts as slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.slices import LogPlace, PackedSlice, SlowBound
from changeover.store.base import Base, NameKey, all_records, to_record
from changeover.store.engine import Store
from changeover.store.upserts import replace_in, upsert_of


class SliceRow(Base):
    """What the buckets did at one gateway, under one split, for a minute or an hour."""

    __tablename__ = "bucket_slice"
    migration: Mapped[NameKey]
    gateway: Mapped[NameKey]
    weight: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    end: Mapped[int] = mapped_column(BigInteger)
    sums: Mapped[bytes] = mapped_column(LargeBinary)
    excluded: Mapped[dict[str, Any]]


class LogPlaceRow(Base):
    """Up to where a gateway's access log is counted in slices."""

    __tablename__ = "bucket_log_place"
    migration: Mapped[NameKey]
    gateway: Mapped[NameKey]
    inode: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int] = mapped_column(BigInteger)


class SlowBoundRow(Base):
    """From which duration on a request is slow, for one condition of a check."""

    __tablename__ = "slow_bound"
    migration: Mapped[NameKey]
    condition: Mapped[str] = mapped_column(String(120), primary_key=True)
    baseline_us: Mapped[int] = mapped_column(BigInteger)
    candidate_us: Mapped[int] = mapped_column(BigInteger)
    frozen_at: Mapped[datetime]


KEY = ("migration", "gateway", "weight", "start")


def save(
    store: Store, migration: str, slices: Sequence[PackedSlice], place: LogPlace, *, gateway: str
) -> None:
    """Save slices, replacing those of the same start, together with the place that they reach.

    Both are one transaction: a restart that goes on from the place counts no request twice.
    """
    with store.begin(is_durable=False) as session:
        # slices and place in one transaction: see above
        _upsert(session, migration, slices)
        values = {
            "migration": migration, "gateway": gateway,
            "inode": place.inode, "offset": place.offset,
        }
        key = ("migration", "gateway")
        replace_in(session, LogPlaceRow, [values], key)


def place_of(store: Store, migration: str, *, gateway: str) -> LogPlace | None:
    """Return up to where a gateway's log is counted; None before the first slice."""
    with store.read() as session:
        row = session.get(LogPlaceRow, (migration, gateway))
        return None if row is None else to_record(LogPlace, row)


def freeze(store: Store, migration: str, bounds: Sequence[SlowBound], *, now: datetime) -> None:
    """Save from which duration on requests are slow; what was frozen before stays."""
    whose = {"migration": migration, "frozen_at": now}
    values = [asdict(each) | whose for each in bounds]
    if values:
        # durable: a bound that is lost in a power failure would be frozen anew, to another value
        with store.begin() as session:
            statement = upsert_of(session)(SlowBoundRow).values(values)
            session.execute(statement.on_conflict_do_nothing())


def slow_bounds(store: Store, migration: str) -> list[SlowBound]:
    """Return the bounds that are frozen, by condition."""
    query = select(SlowBoundRow).filter_by(migration=migration)
    query = query.order_by(SlowBoundRow.condition)
    with store.read() as session:
        return [to_record(SlowBound, row) for row in session.scalars(query)]


def between(
    store: Store, migration: str, *, weight: int, start: int, end: int
) -> list[PackedSlice]:
    """Return the slices of a split that began in [start, end), of all gateways, oldest first."""
    query = select(SliceRow).filter_by(migration=migration, weight=weight)
    query = query.where(SliceRow.start >= start, SliceRow.start < end)
    query = query.order_by(SliceRow.start, SliceRow.gateway)
    return all_records(store, PackedSlice, query)


def newest(store: Store, migration: str, *, gateway: str, since: int) -> list[PackedSlice]:
    """Return the newest slice of each split since a second: those that may still be open."""
    # the newest start of each split, then its row: no database has "first of each group"
    last = select(SliceRow.weight, func.max(SliceRow.start).label("start")).where(
        SliceRow.migration == migration, SliceRow.gateway == gateway,
        SliceRow.start >= since).group_by(SliceRow.weight).subquery()
    query = select(SliceRow).join(
        last, (SliceRow.weight == last.c.weight) & (SliceRow.start == last.c.start)).where(
        SliceRow.migration == migration, SliceRow.gateway == gateway)
    return all_records(store, PackedSlice, query)


def keys(store: Store, migration: str, *, end: int) -> list[tuple[str, int, int]]:
    """Return (gateway, weight, start) of the slices that began before a second, oldest first."""
    query = select(SliceRow.gateway, SliceRow.weight, SliceRow.start).where(
        SliceRow.migration == migration, SliceRow.start < end).order_by(SliceRow.start)
    with store.read() as session:
        return [(gateway, weight, start) for gateway, weight, start in session.execute(query)]


def of_starts(
    store: Store, migration: str, *, gateway: str, weight: int, starts: Sequence[int]
) -> list[PackedSlice]:
    """Return the slices of a gateway and split that began at some seconds, oldest first."""
    query = select(SliceRow).where(
        SliceRow.migration == migration, SliceRow.gateway == gateway,
        SliceRow.weight == weight, SliceRow.start.in_(starts)).order_by(SliceRow.start)
    return all_records(store, PackedSlice, query)


def replace(
    store: Store, migration: str, old: Sequence[PackedSlice], new: PackedSlice
) -> None:
    """Put one slice in the place of several of the same gateway and split."""
    with store.begin(is_durable=False) as session:
        session.execute(delete(SliceRow).where(
            SliceRow.migration == migration, SliceRow.gateway == new.gateway,
            SliceRow.weight == new.weight, SliceRow.start.in_([each.start for each in old])))
        _upsert(session, migration, [new])


def prune(store: Store, migration: str, *, before: int) -> int:
    """Delete slices that ended before a second; return how many."""
    with store.begin(is_durable=False) as session:
        found = session.execute(delete(SliceRow).where(
            SliceRow.migration == migration, SliceRow.end < before))
        return int(getattr(found, "rowcount", 0))


def _upsert(session: Session, migration: str, slices: Sequence[PackedSlice]) -> None:
    values = [{
        "migration": migration, "gateway": each.gateway, "weight": each.weight,
        "start": each.start, "end": each.end, "sums": each.sums,
        "excluded": dict(each.excluded),
    } for each in slices]
    replace_in(session, SliceRow, values, KEY)
