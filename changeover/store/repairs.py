"""Attempts to repair: how many there were, whether one is under way, and how each ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.rows import to_record
from changeover.store.sop_tables import RepairRow

RUNNING, DONE, FAILED = "running", "done", "failed"
PERIOD = timedelta(hours=1)
"""Attempts are counted in this time; with it the budget comes back."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One attempt: `running`, `done` (the check was good afterwards) or `failed`."""

    id: int
    migration: str
    issue: str
    system: str
    attempt: int
    status: str
    detail: str
    started_at: datetime
    ended_at: datetime | None
    lease_until: datetime | None


class Why(StrEnum):
    """Why no attempt may begin now."""

    BUSY = "busy"  # another one on the same system is under way
    WAIT = "wait"  # the time since the last one is too short
    BUDGET = "budget"  # all attempts of the hour are used up: people must look


@dataclass(frozen=True, slots=True)
class Declined:
    """No attempt was begun; `last` is the newest one, for saying once that people are needed."""

    why: Why
    reason: str
    last: int = 0


def claim(
    store: Store, migration: str, *, issue: str, system: str, attempts: int, backoff: timedelta,
    lease: timedelta, now: datetime, actor: str = "health-check/main",
) -> Repair | Declined:
    """Begin an attempt, or return why not: budget, back-off, or another on the same system.

    Exactly one of several processes gets it: the audit's head is locked while it is decided.

    Args:
        store: The store.
        migration: Name of the migration.
        issue: What is to be repaired.
        system: Whose repair it is; never two at once.
        attempts: Most attempts in an hour, whether they helped or not.
        backoff: Wait after the first attempt began; it doubles with each.
        lease: Longest time that the attempt may take; one that has not ended then was killed and
            counts as failed.
        now: The present moment.
        actor: Who repairs.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        holder = _end_lost(session, migration, system, now)
        if holder is not None:
            return Declined(Why.BUSY, f"not repaired because {holder.issue} of {system} is being "
                            "repaired")
        past = list(session.scalars(
            select(RepairRow).filter_by(migration=migration, issue=issue, system=system)
            .where(RepairRow.started_at > now - PERIOD).order_by(RepairRow.id)))
        if len(past) >= attempts:
            return Declined(Why.BUDGET, f"not repaired because {attempts} attempts in an hour are "
                            "used up", past[-1].id)
        if past and now < (due := past[-1].started_at + backoff * 2 ** (len(past) - 1)):
            return Declined(Why.WAIT, f"not repaired before {due:%H:%M:%S} UTC", past[-1].id)
        row = RepairRow(
            migration=migration, issue=issue, system=system, attempt=len(past) + 1,
            status=RUNNING, detail="", started_at=now, lease_until=now + lease)
        session.add(row)
        session.flush()
        audit.append(session, migration, actor=actor, kind="repair.began", now=now,
                     data={"issue": issue, "system": system, "attempt": row.attempt})
        return to_record(Repair, row)


def _end_lost(
    session: Session, migration: str, system: str, now: datetime
) -> RepairRow | None:
    """Close attempts whose holder was killed; return one that is under way on the system."""
    holder = None
    running = select(RepairRow).filter_by(migration=migration, status=RUNNING)
    for row in session.scalars(running):
        if row.lease_until is None or now >= row.lease_until:
            _end(session, row, FAILED, "it did not end in its time", now)
        elif row.system == system:
            holder = row
    return holder


def _end(session: Session, row: RepairRow, status: str, detail: str, now: datetime) -> None:
    row.status, row.detail, row.ended_at = status, detail, now
    audit.append(session, row.migration, actor="health-check/main", kind=f"repair.{status}",
                 data={"issue": row.issue, "system": row.system, "attempt": row.attempt,
                       "detail": detail[:500]}, now=now)


def finish(store: Store, repair_id: int, *, is_good: bool, detail: str, now: datetime) -> Repair:
    """Note how an attempt ended; the first end stands, also that of a lease which ran out."""
    with store.begin() as session:
        row = session.get_one(RepairRow, repair_id)
        audit.lock(session, row.migration)  # before the row, as `claim` does: else a deadlock
        session.refresh(row)
        if row.ended_at is None:
            _end(session, row, DONE if is_good else FAILED, detail, now)
        return to_record(Repair, row)


def newest(store: Store, migration: str, *, most: int = 50) -> list[Repair]:
    """Return the newest attempts, oldest first."""
    query = select(RepairRow).filter_by(migration=migration).order_by(RepairRow.id.desc())
    with store.read() as session:
        return [to_record(Repair, row) for row in session.scalars(query.limit(most))][::-1]
