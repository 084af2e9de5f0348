"""The steps of rollbacks: what each did; one that is done stays done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.rollbacks import RollbackStep
from changeover.store.base import Base, to_record
from changeover.store.engine import Store


class RollbackStepRow(Base):
    """One step of a rollback."""

    __tablename__ = "rollback_step"
    rollback_id: Mapped[int] = mapped_column(ForeignKey("rollback.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    status: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


def save(store: Store, step: RollbackStep) -> RollbackStep:
    """Keep a step's result; a step that is done stays done."""
    with store.begin() as session:
        row = session.get(RollbackStepRow, (step.rollback_id, step.number))
        if row is None or row.status != "done":
            row = session.merge(RollbackStepRow(
                rollback_id=step.rollback_id, number=step.number, name=step.name,
                status=step.status, detail=step.detail, started_at=step.started_at,
                ended_at=step.ended_at,
            ))
        return to_record(RollbackStep, row)


def all_of(store: Store, rollback_id: int) -> list[RollbackStep]:
    """Return a rollback's steps in order."""
    query = select(RollbackStepRow).filter_by(rollback_id=rollback_id)
    with store.read() as session:
        rows = session.scalars(query.order_by(RollbackStepRow.number))
        return [to_record(RollbackStep, row) for row in rows]

