"""Steps of procedures: each done once, with its result; what a killed run finds when it goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.procedures import SopStep
from changeover.store import audit
from changeover.store.base import Base, to_record
from changeover.store.engine import Store


class SopStepRow(Base):
    """A step of a procedure: `subject` is `cutover-7` or `rehearsal-3`."""

    __tablename__ = "sop_step"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    subject: Mapped[str] = mapped_column(String(63), primary_key=True)
    step: Mapped[str] = mapped_column(String(63), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


BEGUN, DONE, FAILED = "begun", "done", "failed"
REHEARSAL, CRITERIA = "rehearsal", "success criteria"


def save(store: Store, step: SopStep) -> SopStep:
    """Keep a step's result and audit it; a step that is done stays done."""
    with store.begin() as session:
        row = session.get(SopStepRow, (step.migration, step.subject, step.step))
        if row is None or row.status != DONE:
            row = session.merge(SopStepRow(
                migration=step.migration, subject=step.subject, step=step.step,
                status=step.status, detail=step.detail, data=step.data,
                started_at=step.started_at, ended_at=step.ended_at))
            audit.append(session, step.migration, actor=step.subject, kind=f"step.{step.status}",
                         data={"step": step.step, "detail": step.detail[:500]}, now=step.ended_at)
        return to_record(SopStep, row)


def one(store: Store, migration: str, subject: str, step: str) -> SopStep | None:
    """Return a step's result, None before it was carried out."""
    with store.read() as session:
        row = session.get(SopStepRow, (migration, subject, step))
        return to_record(SopStep, row) if row else None


def steps(store: Store, migration: str, subject: str) -> list[SopStep]:
    """Return the steps of a procedure in the order in which they ended."""
    query = select(SopStepRow).filter_by(migration=migration, subject=subject)
    with store.read() as session:
        return [to_record(SopStep, row) for row in session.scalars(
            query.order_by(SopStepRow.ended_at, SopStepRow.step))]


def latest_rehearsal(store: Store, migration: str) -> SopStep | None:
    """Return the newest rehearsal of the rollback that passed."""
    query = select(SopStepRow).filter_by(migration=migration, step=REHEARSAL, status=DONE)
    with store.read() as session:
        row = session.scalar(query.order_by(SopStepRow.ended_at.desc()).limit(1))
        return to_record(SopStep, row) if row else None
