"""Comparisons of both systems' answers: rows, what differs by place, coverage, retention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    CursorResult,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.comparisons import Compared, Rescored
from changeover.store import divergences, place_counts, samples
from changeover.store.base import Base, Id
from changeover.store.divergences import DivergenceRow
from changeover.store.engine import Store, upsert_of
from changeover.store.text import storable


class ComparisonRow(Base):
    """One comparison of the two systems' answers to one request; bodies only while they are kept.

    `answers` has both answers, masked, as a shadow answer is kept to be scored again.
    """

    __tablename__ = "comparison"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    at: Mapped[datetime]
    request: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(64))
    similarity: Mapped[float] = mapped_column(Float)
    is_match: Mapped[bool] = mapped_column(Boolean)
    divergences: Mapped[int] = mapped_column(Integer)
    ignored: Mapped[int] = mapped_column(Integer)
    baseline_seconds: Mapped[float] = mapped_column(Float)
    candidate_seconds: Mapped[float] = mapped_column(Float)
    error: Mapped[str] = mapped_column(Text)
    answers: Mapped[bytes | None] = mapped_column(LargeBinary)
    __table_args__ = (
        Index("ix_comparison_migration", "migration", "id"),
        Index("ix_comparison_kept", "migration", "id", sqlite_where=text("answers IS NOT NULL"),
              postgresql_where=text("answers IS NOT NULL")),
    )


class CoverageRow(Base):
    """What became of tapped requests since the rules were last changed: the score's coverage."""

    __tablename__ = "shadow_coverage"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(120), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)


_TABLE = cast(Table, ComparisonRow.__table__)


def write(
    store: Store, migration: str, batch: Sequence[Compared], coverage: Mapping[str, int], *,
    now: datetime | None = None,
) -> None:
    """Keep comparisons with everything that is counted of them, in one transaction.

    Args:
        store: The store.
        migration: Name of the migration.
        batch: The comparisons; each is written once.
        coverage: How many tapped requests had which outcome since the last call.
        now: The time for which gates and triggers count them: the one at which they are known. A
            candidate that hangs is known minutes after the requests came, when those minutes have
            been summed up and evaluated. None counts each for the time of its request.
    """
    with store.begin(is_durable=False) as session:
        if batch:
            # into the table: into its class costs half as much again
            session.connection().execute(
                insert(_TABLE), [_row(migration, one) for one in batch])
            times = [int((now or one.at).timestamp()) for one in batch]
            samples.add_compared_in(session, migration, [
                (at, one.is_match, one.similarity)
                for at, one in zip(times, batch, strict=True)])
            divergences.count_in(session, migration, batch)
            place_counts.add(session, migration, [
                (at, {*one.found, "$"} if one.omitted else one.found.keys())
                for at, one in zip(times, batch, strict=True)])
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
        done = [each for each in batch if _replace(session, each)]
        divergences.count_in(session, migration, [each.before for each in done], sign=-1)
        divergences.count_in(session, migration, [each.after for each in done])
        session.flush()
        session.execute(delete(DivergenceRow).where(
            DivergenceRow.migration == migration,
            *(column == 0 for column in (
                DivergenceRow.diverged, DivergenceRow.ignored, DivergenceRow.only_candidate,
                DivergenceRow.only_baseline, DivergenceRow.both))))
        matched = sum(each.after.is_match - each.before.is_match for each in done)
        _add_coverage(session, migration, [], {"matched": matched})
    return len(done)


def _replace(session: Session, each: Rescored) -> bool:
    one = each.after
    done = session.execute(update(ComparisonRow).where(
        ComparisonRow.id == each.key, ComparisonRow.answers == each.before.answers,
    ).values(
        similarity=one.similarity, is_match=one.is_match, divergences=len(one.found),
        ignored=len(one.ignored), answers=one.answers,
    ))
    return isinstance(done, CursorResult) and done.rowcount == 1


def _row(migration: str, one: Compared) -> dict[str, Any]:
    return {
        "migration": migration, "at": one.at, "request": storable(one.request),
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
    values = [{"migration": migration, "outcome": outcome, "number": number}
              for outcome, number in numbers.items() if number]
    if values:
        statement = upsert_of(session)(CoverageRow).values(values)
        session.execute(statement.on_conflict_do_update(
            index_elements=("migration", "outcome"),
            set_={"number": CoverageRow.number + statement.excluded.number},
        ))
