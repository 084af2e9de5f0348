"""Whole tables in parts, for analysts: bounded memory, and no transaction that stays open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from changeover.analysis.window import Sample
from changeover.store import samples
from changeover.store.audit import AuditRow
from changeover.store.comparisons import ComparisonRow
from changeover.store.cutovers import CutoverRow, StageRow
from changeover.store.divergences import DivergenceRow
from changeover.store.engine import Store
from changeover.store.firings import FiringRow
from changeover.store.outcomes import OutcomeRow
from changeover.store.samples import SampleRow
from changeover.store.verdicts import VerdictRow

AT_ONCE = 2_000
"""Rows that are read at once: a read that lasted would keep the write-ahead log from shrinking."""
Key = Sequence[InstrumentedAttribute[Any]]
Page = list[Row[Any]]
Span = tuple[datetime | None, datetime | None]
"""From when on, and until when (excluded); None: no limit."""


def stages(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield stages with the status of their cutover, in order."""
    query = (
        select(StageRow, CutoverRow.status.label("cutover_status"),
               StageRow.cutover_id, StageRow.index)
        .join(CutoverRow, CutoverRow.id == StageRow.cutover_id)
        .where(CutoverRow.migration == migration))
    query = _within(query, StageRow.entered_at, span)
    return _pages(store, query, (StageRow.cutover_id, StageRow.index))


def verdicts(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield verdicts with their evidence, in order."""
    query = (
        select(VerdictRow, VerdictRow.id)
        .join(CutoverRow, CutoverRow.id == VerdictRow.cutover_id)
        .where(CutoverRow.migration == migration))
    return _pages(store, _within(query, VerdictRow.at, span), (VerdictRow.id,))


def comparisons(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield comparisons without the answers themselves, in order."""
    columns = [column for column in ComparisonRow.__table__.columns if column.name != "answers"]
    query = select(*columns).where(ComparisonRow.migration == migration)
    return _pages(store, _within(query, ComparisonRow.at, span), (ComparisonRow.id,))


def divergences(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield places that differ, in the order of their names."""
    query = select(DivergenceRow, DivergenceRow.field_hash).where(
        DivergenceRow.migration == migration)
    return _pages(
        store, _within(query, DivergenceRow.last_seen, span), (DivergenceRow.field_hash,))


def outcomes(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield outcomes, in the order in which they were accepted."""
    query = select(*OutcomeRow.__table__.columns).where(OutcomeRow.migration == migration)
    since, until = span
    # their time is a Unix second
    if since is not None:
        query = query.where(OutcomeRow.at >= int(since.timestamp()))
    if until is not None:
        query = query.where(OutcomeRow.at < int(until.timestamp()))
    return _pages(store, query, (OutcomeRow.at, OutcomeRow.id))


def firings(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield triggers that fired, in order."""
    query = select(FiringRow, FiringRow.id).where(FiringRow.migration == migration)
    return _pages(store, _within(query, FiringRow.fired_at, span), (FiringRow.id,))


def audit(store: Store, migration: str, span: Span) -> Iterator[Page]:
    """Yield events of the audit, in order; of a span too, those outside of it are left out later.
    """
    query = select(AuditRow, AuditRow.seq).where(AuditRow.migration == migration)
    return _pages(store, query, (AuditRow.seq,))


def seconds(
    store: Store, migration: str, system: str, resolution: int, span: Span
) -> Iterator[list[Sample]]:
    """Yield a system's samples of one length, in order."""
    since, until = span
    own = (SampleRow.migration == migration, SampleRow.system == system,
           SampleRow.resolution == resolution)
    with store.read() as session:
        first, last = session.execute(
            select(func.min(SampleRow.at), func.max(SampleRow.at)).where(*own)).one()
    if first is None:
        return
    start = first if since is None else max(first, int(since.timestamp()))
    # excluded: a sample that began before the end is inside
    end = last + 1 if until is None else min(last + 1, int(until.timestamp()))
    step = AT_ONCE * resolution
    for begin in range(start, end, step):
        with store.read() as session:
            part = range(begin, min(end, begin + step))
            rows = samples.read_rows(session, migration, system, resolution, span=part)
        if rows:
            yield rows


def count(store: Store, migration: str, table: str) -> int:
    """Return how many rows a table has of a migration; 0 where nobody needs to know before."""
    row = _LARGE.get(table)
    if row is None:
        return 0
    query = select(func.count()).select_from(row).where(row.migration == migration)
    with store.read() as session:
        return int(session.scalar(query) or 0)


_LARGE: dict[str, Any] = {
    "comparisons": ComparisonRow, "outcomes": OutcomeRow, "audit": AuditRow}
"""Tables that may take more than a moment."""


def _within(query: Select[Any], column: InstrumentedAttribute[datetime], span: Span) -> Select[Any]:
    since, until = span
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column < until)


def _pages(store: Store, query: Select[Any], key: Key) -> Iterator[Page]:
    """Yield what a query finds in parts, each read anew from where the last one ended."""
    ordered, after = query.order_by(*key).limit(AT_ONCE), None
    while True:
        part = ordered
        if after is not None:
            # of several columns the database compares as people do: the first one first
            place = tuple_(*key) if len(key) > 1 else key[0]
            part = part.where(place > after)
        with store.read() as session:
            rows = list(session.execute(part))
            session.expunge_all()
        if not rows:
            return
        yield rows
        values = tuple(getattr(rows[-1], each.key) for each in key)
        after = values if len(values) > 1 else values[0]
