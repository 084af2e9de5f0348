"""Attempts to repair: how many there were, whether one is under way, and how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.health import Declined, Repair, RepairRequest, RepairStatus, Why
from changeover.store import audit
from changeover.store.base import Base, Name, RowId, to_record
from changeover.store.engine import Store


class RepairRow(Base):
    """One attempt to repair something; `lease_until` is when it is lost if it has not ended."""

    __tablename__ = "repair"
    id: Mapped[RowId]
    migration: Mapped[Name]
    issue: Mapped[Name]
    system: Mapped[Name]
    attempt: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    __table_args__ = (Index("ix_repair", "migration", "issue", "id"),)


PERIOD = timedelta(hours=1)
"""Attempts are counted in this time; with it the budget comes back."""


def claim(
    store: Store, migration: str, wanted: RepairRequest, *, now: datetime
) -> Repair | Declined:
    """Begin an attempt, or return why not: budget, back-off, or another on the same system.

    Exactly one of several processes gets it: the audit's head is locked while it is decided.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        holder = _end_lost(session, migration, wanted.system, now)
        if holder is not None:
            return Declined(Why.BUSY, f"not repaired because {holder.issue} of {wanted.system} is "
                            "being repaired")
        same = select(RepairRow).filter_by(
            migration=migration, issue=wanted.issue, system=wanted.system)
        recent = same.where(RepairRow.started_at > now - PERIOD).order_by(RepairRow.id)
        past = list(session.scalars(recent))
        refusal = _too_many(wanted, past, now)
        return refusal or _begin(session, migration, wanted, len(past) + 1, now=now)


def _too_many(
    wanted: RepairRequest, past: Sequence[RepairRow], now: datetime
) -> Declined | None:
    """Return why no further attempt may begin now, after those of the last hour."""
    if len(past) >= wanted.attempts:
        return Declined(Why.BUDGET, f"not repaired because {wanted.attempts} attempts in an hour "
                        "are used up", past[-1].id if past else 0)
    if past:
        # the wait doubles with each attempt of the hour, counted from the last one's start
        due = past[-1].started_at + wanted.backoff * 2 ** (len(past) - 1)
        if now < due:
            return Declined(Why.WAIT, f"not repaired before {due:%H:%M:%S} UTC", past[-1].id)
    return None


def _begin(
    session: Session, migration: str, wanted: RepairRequest, attempt: int, *, now: datetime
) -> Repair:
    row = RepairRow(
        migration=migration, issue=wanted.issue, system=wanted.system, attempt=attempt,
        status=RepairStatus.RUNNING, detail="", started_at=now, lease_until=now + wanted.lease)
    session.add(row)
    session.flush()
    audit.append(session, migration, NewEvent(
        actor=wanted.actor, kind="repair.began", at=now,
        data={"issue": wanted.issue, "system": wanted.system, "attempt": attempt}))
    return to_record(Repair, row)


def _end_lost(
    session: Session, migration: str, system: str, now: datetime
) -> RepairRow | None:
    """Close attempts whose holder was killed; return one that is under way on the system."""
    holder = None
    running = select(RepairRow).filter_by(migration=migration, status=RepairStatus.RUNNING)
    for row in session.scalars(running):
        # without a lease nobody can tell whether its holder lives, so it counts as lost
        if row.lease_until is None or now >= row.lease_until:
            _end(session, row, RepairStatus.FAILED, "it did not end in its time", now=now)
        elif row.system == system:
            holder = row
    return holder


def _end(
    session: Session, row: RepairRow, status: RepairStatus, detail: str, *, now: datetime
) -> None:
    row.status, row.detail, row.ended_at = status, detail, now
    audit.append(session, row.migration, NewEvent(
        actor="health-check/main", kind=f"repair.{status}", at=now,
        data={"issue": row.issue, "system": row.system, "attempt": row.attempt,
              "detail": detail[:500]}))


def finish(store: Store, repair_id: int, *, is_good: bool, detail: str, now: datetime) -> Repair:
    """Note how an attempt ended; the first end stands, also that of a lease which ran out."""
    with store.begin() as session:
        row = session.get_one(RepairRow, repair_id)
        audit.lock(session, row.migration)  # before the row, as `claim` does: else a deadlock
        session.refresh(row)
        if row.ended_at is None:
            status = RepairStatus.DONE if is_good else RepairStatus.FAILED
            _end(session, row, status, detail, now=now)
        return to_record(Repair, row)


def newest(store: Store, migration: str, *, most: int = 50) -> list[Repair]:
    """Return the newest attempts, oldest first."""
    query = select(RepairRow).filter_by(migration=migration).order_by(RepairRow.id.desc())
    with store.read() as session:
        return [to_record(Repair, row) for row in session.scalars(query.limit(most))][::-1]
