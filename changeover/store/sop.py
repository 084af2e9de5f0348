"""Steps of procedures: each done once, with its result; what a killed run finds when it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.rows import to_record
from changeover.store.sop_tables import SopStepRow

BEGUN, DONE, FAILED = "begun", "done", "failed"
REHEARSAL, CRITERIA = "rehearsal", "success criteria"


@dataclass(frozen=True, slots=True)
class SopStep:
    """A step of a procedure and what came of it: `done` or `failed`; `begun` is not known yet."""

    migration: str
    subject: str
    step: str
    status: str
    detail: str
    started_at: datetime
    ended_at: datetime
    data: dict[str, Any] = field(default_factory=dict)


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
