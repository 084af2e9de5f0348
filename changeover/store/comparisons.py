"""Comparisons of both systems' answers: rows, what differs by place, coverage, retention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    CursorResult,
    Index,
    LargeBinary,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.comparisons import Compared, Rescored
from changeover.domain.storable import storable
from changeover.store import compared_sums, divergences, place_counts
from changeover.store.base import Base, Name, NameKey, RowId
from changeover.store.divergences import DivergenceRow
from changeover.store.engine import Store
from changeover.store.lock_numbers import lock_number
from changeover.store.upserts import add_in


class ComparisonRow(Base):
    """One comparison of the two systems' answers to one request; bodies only while they are kept.

    `answers` has both answers, masked, as a shadow answer is kept to be scored again.
    """

    __tablename__ = "comparison"
    id: Mapped[RowId]
    migration: Mapped[Name]
    at: Mapped[datetime]
    request: Mapped[str]
    request_id: Mapped[str] = mapped_column(String(64))
    similarity: Mapped[float]
    is_match: Mapped[bool]
    divergences: Mapped[int]
    ignored: Mapped[int]
    baseline_seconds: Mapped[float]
    candidate_seconds: Mapped[float]
    error: Mapped[str]
    answers: Mapped[bytes | None] = mapped_column(LargeBinary)
    __table_args__ = (
        Index("ix_comparison_migration", "migration", "id"),
        Index("ix_comparison_kept", "migration", "id", sqlite_where=text("answers IS NOT NULL"),
              postgresql_where=text("answers IS NOT NULL")),
    )


class CoverageRow(Base):
    """What became of tapped requests since the rules were last changed: the score's coverage."""

    __tablename__ = "shadow_coverage"
    migration: Mapped[NameKey]
    outcome: Mapped[str] = mapped_column(String(120), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


IDLE_SECONDS = 10
"""After so long the server ends a transaction that says nothing: it is repeated."""
_TABLE = cast(Table, ComparisonRow.__table__)


def write(
    store: Store, migration: str, batch: Sequence[Compared], coverage: Mapping[str, int], *,
    gateway: str = MAIN_GATEWAY, now: datetime | None = None,
) -> None:
    """Keep comparisons with everything that is counted of them, in one transaction.

    Args:
        store: The store.
        migration: Name of the migration.
        batch: The comparisons; each is written once.
        coverage: How many tapped requests had which outcome since the last call.
        gateway: Of which gateway the requests were; its sums have its name.
        now: The time for which gates and triggers count them: the one at which they are known. A
            candidate that hangs is known minutes after the requests came, when those minutes have
            been summed up and evaluated. None counts each for the time of its request.
    """
    with store.begin(is_durable=False) as session:
        _one_at_a_time(session, migration)
        if batch:
            # into the table: into its class costs half as much again
            session.connection().execute(
                insert(_TABLE), [_row(migration, one) for one in batch])
            times = [int((now or one.at).timestamp()) for one in batch]
            scores, places = [], []
            for at, one in zip(times, batch, strict=True):
                scores.append((at, one.is_match, one.similarity))
                # what was found beyond the limit may lie anywhere; `$` counts for every path
                found = {*one.found, "$"} if one.omitted else one.found.keys()
                places.append((at, found))
            compared_sums.add_compared_in(session, migration, scores, gateway=gateway)
            divergences.count_in(session, migration, batch)
            place_counts.add(session, migration, places)
        _add_coverage(session, migration, batch, coverage)


def coverage(store: Store, migration: str) -> dict[str, int]:
    """Return how many tapped requests had which outcome: compared, paired, dropped and why."""
    query = select(CoverageRow).where(CoverageRow.migration == migration)
    with store.read() as session:
        return {row.outcome: row.number for row in session.scalars(query)}


def latencies(store: Store, migration: str, *, most: int = 10_000) -> list[tuple[float, float]]:
    """Return (baseline, candidate) seconds of the newest comparisons that got both answers."""
    query = (
        select(ComparisonRow.baseline_seconds, ComparisonRow.candidate_seconds)
        .where(ComparisonRow.migration == migration, ComparisonRow.error == "")
        .order_by(ComparisonRow.id.desc()).limit(most)
    )
    with store.read() as session:
        return [(row[0], row[1]) for row in session.execute(query)]


def newest(store: Store, migration: str) -> int:
    """Return the id of the newest comparison, 0 before the first."""
    query = select(func.max(ComparisonRow.id)).where(ComparisonRow.migration == migration)
    with store.read() as session:
        return session.scalar(query) or 0


def newest_at(store: Store, migration: str) -> datetime | None:
    """Return the time of the newest comparison's request; None before the first."""
    query = select(ComparisonRow.at).where(ComparisonRow.migration == migration)
    with store.read() as session:
        return session.scalar(query.order_by(ComparisonRow.id.desc()).limit(1))


def saved_answers(
    store: Store, migration: str, *, after: int = 0, until: int | None = None, most: int = 500
) -> list[tuple[int, Compared]]:
    """Return comparisons that still have their answers, oldest first, with their ids.

    Args:
        store: The store.
        migration: Name of the migration.
        after: Only ids above this one.
        until: None above this one.
        most: Most of them.
    """
    query = (
        select(ComparisonRow)
        .where(ComparisonRow.migration == migration, ComparisonRow.id > after,
               ComparisonRow.answers.is_not(None))
        .order_by(ComparisonRow.id).limit(most)
    )
    if until is not None:
        query = query.where(ComparisonRow.id <= until)
    with store.read() as session:
        return [(row.id, _compared(row)) for row in session.scalars(query)]


def replace_scores(store: Store, migration: str, batch: Sequence[Rescored]) -> int:
    """Replace the verdicts of comparisons, and what was counted of them by what counts now.

    Each comparison is replaced with its counts in one transaction, or not at all: when its answers
    are no longer those that were judged, somebody else has dropped them or scored them again.
    What gates read stays as it was measured.

    Returns:
        How many were replaced.
    """
    with store.begin(is_durable=False) as session:
        _one_at_a_time(session, migration)
        # counted only for those that were replaced: the others are somebody else's by now
        done = [each for each in batch if _replace(session, each)]
        divergences.count_in(session, migration, [each.before for each in done], sign=-1)
        divergences.count_in(session, migration, [each.after for each in done])
        session.flush()  # the statement below must find the new counts in the table
        counts = (
            DivergenceRow.diverged, DivergenceRow.ignored, DivergenceRow.only_candidate,
            DivergenceRow.only_baseline, DivergenceRow.both)
        session.execute(delete(DivergenceRow).where(
            DivergenceRow.migration == migration, *(column == 0 for column in counts)))
        matched = sum(each.after.is_match - each.before.is_match for each in done)
        _add_coverage(session, migration, [], {"matched": matched})
    return len(done)


def _one_at_a_time(session: Session, migration: str) -> None:
    """Wait until no other transaction counts comparisons of this migration.

    Each gateway's service counts in the same rows, and two that make the row of a new place, or
    that lock rows in another order, would end each other. SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    # one that stands still in the middle, or whose machine is gone, must not hold up the others
    session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}"))
    session.execute(select(func.pg_advisory_xact_lock(
        lock_number(f"changeover comparisons {migration}"))))


def _replace(session: Session, each: Rescored) -> bool:
    one = each.after
    # compare and swap: the answers are the version of the row
    done = session.execute(update(ComparisonRow).where(
        ComparisonRow.id == each.key, ComparisonRow.answers == each.before.answers,
    ).values(
        similarity=one.similarity, is_match=one.is_match, divergences=len(one.found),
        ignored=len(one.ignored), answers=one.answers,
    ))
    # not every result says how many rows it changed
    return isinstance(done, CursorResult) and done.rowcount == 1


def _row(migration: str, one: Compared) -> dict[str, Any]:
    return {
        "migration": migration, "at": one.at, "request": storable(one.request),
        # PostgreSQL refuses what is longer than the column; SQLite would take it
        "request_id": storable(one.request_id)[:64], "similarity": one.similarity,
        "is_match": one.is_match, "divergences": len(one.found), "ignored": len(one.ignored),
        "baseline_seconds": one.baseline_seconds, "candidate_seconds": one.candidate_seconds,
        "error": storable(one.error), "answers": one.answers,
    }


def _compared(row: ComparisonRow) -> Compared:
    return Compared(
        row.at, row.request, row.request_id, row.similarity, row.is_match, row.baseline_seconds,
        row.candidate_seconds, error=row.error, answers=row.answers,
    )


def _add_coverage(
    session: Session, migration: str, batch: Sequence[Compared], outcomes: Mapping[str, int]
) -> None:
    numbers = Counter(outcomes)
    numbers["compared"] += len(batch)
    numbers["matched"] += sum(one.is_match for one in batch)
    numbers["paired"] += sum(one.noisy is not None for one in batch)
    numbers["failed"] += sum(bool(one.error) for one in batch)
    values = []
    for outcome, number in numbers.items():
        # no row for what did not happen: readers take a missing one as 0
        if number:
            row = {"migration": migration, "outcome": outcome}
            values.append(row | {"number": number})
    key = ("migration", "outcome")
    add_in(session, CoverageRow, values, key=key, numbers=("number",))
