"""The step log: each step of a procedure with its result, which a killed run finds again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.procedures import Step, StepStatus
from changeover.store import audit
from changeover.store.base import Base, NameKey, all_records, first_record, to_record, to_row
from changeover.store.engine import Store

REHEARSAL, CRITERIA = "rehearsal", "success criteria"


class StepRow(Base):
    """A step of a procedure: `subject` is `cutover-7`, `rollback-3` or `rehearsal-` and a run."""

    __tablename__ = "step"
    migration: Mapped[NameKey]
    subject: Mapped[NameKey]
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str]
    data: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


def save(store: Store, step: Step) -> Step:
    """Save a step's result and audit it; a step that is done stays done."""
    with store.begin() as session:
        row = session.get(StepRow, (step.migration, step.subject, step.name))
        # a run that was killed finds its step done: the repetition is not audited again
        if row is None or row.status != StepStatus.DONE:
            row = session.merge(to_row(StepRow, step))
            # what a command printed may be long: the step has all of it
            facts = {"step": step.name, "detail": step.detail[:500]}
            audit.append(session, step.migration, NewEvent(
                actor=step.subject, kind=f"step.{step.status}", at=step.ended_at, data=facts))
        return to_record(Step, row)


def one(store: Store, migration: str, subject: str, name: str) -> Step | None:
    """Return a step's result, None before it was carried out."""
    with store.read() as session:
        row = session.get(StepRow, (migration, subject, name))
        return to_record(Step, row) if row else None


def all_of(store: Store, migration: str, subject: str) -> list[Step]:
    """Return a procedure's steps by their number, and those without in the order of their ends."""
    query = select(StepRow).filter_by(migration=migration, subject=subject)
    in_order = query.order_by(StepRow.number, StepRow.ended_at, StepRow.name)
    return all_records(store, Step, in_order)


def ends_of(
    store: Store, migration: str, subject: str, names: Iterable[str]
) -> list[datetime]:
    """Return when those of some steps of a procedure ended that are done."""
    query = select(StepRow.ended_at).where(
        StepRow.migration == migration, StepRow.subject == subject,
        StepRow.name.in_(list(names)), StepRow.status == StepStatus.DONE)
    with store.read() as session:
        return list(session.scalars(query))


def latest_rehearsal(store: Store, migration: str) -> Step | None:
    """Return the newest rehearsal of the rollback that passed."""
    passed = select(StepRow).filter_by(
        migration=migration, name=REHEARSAL, status=StepStatus.DONE)
    return first_record(store, Step, passed.order_by(StepRow.ended_at.desc()))
