"""Verdicts of gates, with the evidence for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.rollout import GateVerdict
from changeover.store import cutovers
from changeover.store.base import Base, RowId, all_records, to_record, to_row
from changeover.store.engine import Store


class VerdictRow(Base):
    """One evaluation of one gate."""

    __tablename__ = "gate_verdict"
    id: Mapped[RowId]
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"))
    stage: Mapped[str] = mapped_column(String(64))
    gate: Mapped[str] = mapped_column(String(64))
    round: Mapped[int]
    attempt: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str]
    at: Mapped[datetime]
    evidence: Mapped[list[dict[str, Any]]]
    __table_args__ = (
        UniqueConstraint("cutover_id", "stage", "gate", "round", "attempt", name="uq_verdict"),
    )


class VerdictSumsRow(Base):
    """The sums of buckets that a verdict was reached by: what recomputes it to the last bit."""

    __tablename__ = "gate_verdict_sums"
    verdict_id: Mapped[int] = mapped_column(ForeignKey("gate_verdict.id"), primary_key=True)
    sums: Mapped[bytes] = mapped_column(LargeBinary)


def save(store: Store, verdict: GateVerdict, sums: bytes | None = None) -> GateVerdict:
    """Save a gate's verdict; the first one of an evaluation stands.

    Args:
        store: The store.
        verdict: The verdict.
        sums: The packed sums that it was judged by; None where there are none.
    """
    same = select(VerdictRow).filter_by(
        cutover_id=verdict.cutover_id, stage=verdict.stage, gate=verdict.gate,
        round=verdict.round, attempt=verdict.attempt)
    with store.begin() as session:
        # locked first: two runs of the same evaluation must not both save a verdict
        cutover = cutovers.lock_in(session, verdict.cutover_id)
        row = session.scalar(same)
        if row is None:
            row = to_row(VerdictRow, verdict)
            session.add(row)
            session.flush()
            if sums is not None:
                session.add(VerdictSumsRow(verdict_id=row.id, sums=sums))
            cutovers.note_in(session, cutover, "gate.judged", {
                "stage": verdict.stage, "gate": verdict.gate, "verdict": verdict.verdict,
                "reason": verdict.reason}, now=verdict.at)
        return to_record(GateVerdict, row)


def all_of(store: Store, cutover_id: int, stage: str | None = None) -> list[GateVerdict]:
    """Return the verdicts of a cutover, or of one of its stages, in order."""
    query = select(VerdictRow).where(VerdictRow.cutover_id == cutover_id).order_by(VerdictRow.id)
    if stage is not None:
        query = query.where(VerdictRow.stage == stage)
    return all_records(store, GateVerdict, query)


def get(store: Store, verdict_id: int) -> tuple[GateVerdict, bytes | None] | None:
    """Return a verdict with the sums that it was judged by; None when there is no such verdict."""
    with store.read() as session:
        row = session.get(VerdictRow, verdict_id)
        if row is None:
            return None
        # only verdicts by buckets have sums
        sums = session.get(VerdictSumsRow, verdict_id)
        return to_record(GateVerdict, row), sums.sums if sums else None
