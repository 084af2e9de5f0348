"""Attempts to repair: how many there were, whether one is under way, and how each ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.rows import to_record
from changeover.store.sop_tables import RepairRow

RUNNING, DONE, FAILED = "running", "done", "failed"
PERIOD = timedelta(hours=1)
"""Attempts are counted in this time; with it the budget comes back."""
LOST_AFTER = timedelta(minutes=10)
"""An attempt that has not ended after this was killed; it counts as failed."""


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


def claim(
    store: Store, migration: str, *, issue: str, system: str, attempts: int, backoff: timedelta,
    now: datetime,
) -> Repair | str:
    """Begin an attempt, or return why not: budget, back-off, or another on the same system.

    Args:
        store: The store.
        migration: Name of the migration.
        issue: What is to be repaired.
        system: Whose repair it is; never two at once.
        attempts: Most attempts in an hour.
        backoff: Wait after the first attempt; it doubles with each.
        now: The present moment.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        mine = select(RepairRow).filter_by(migration=migration)
        for row in session.scalars(mine.where(RepairRow.status == RUNNING)):
            if now - row.started_at > LOST_AFTER:
                row.status, row.detail, row.ended_at = FAILED, "it did not end", now
            elif row.system == system:
                return f"not repaired because {row.issue} of {system} is being repaired"
        past = list(session.scalars(
            mine.where(RepairRow.issue == issue, RepairRow.system == system,
                       RepairRow.started_at > now - PERIOD).order_by(RepairRow.id)))
        if len(past) >= attempts:
            return f"not repaired because {attempts} attempts in an hour are used up"
        if past and now < (due := past[-1].started_at + backoff * 2 ** (len(past) - 1)):
            return f"not repaired before {due:%H:%M:%S} UTC"
        row = RepairRow(
            migration=migration, issue=issue, system=system, attempt=len(past) + 1,
            status=RUNNING, detail="", started_at=now)
        session.add(row)
        session.flush()
        audit.append(session, migration, actor="health-check/main", kind="repair.began", now=now,
                     data={"issue": issue, "system": system, "attempt": row.attempt})
        return to_record(Repair, row)


def finish(store: Store, repair_id: int, *, is_good: bool, detail: str, now: datetime) -> Repair:
    """Note how an attempt ended; the first end stands."""
    with store.begin() as session:
        row = session.get_one(RepairRow, repair_id)
        if row.ended_at is None:
            row.status, row.detail, row.ended_at = DONE if is_good else FAILED, detail, now
            audit.append(session, row.migration, actor="health-check/main",
                         kind=f"repair.{row.status}", now=now,
                         data={"issue": row.issue, "system": row.system, "detail": detail})
        return to_record(Repair, row)


def used_up(
    store: Store, migration: str, *, issue: str, system: str, attempts: int, now: datetime
) -> bool:
    """Whether the budget of an hour is used up without success at the end."""
    query = select(func.count()).select_from(RepairRow).where(
        RepairRow.migration == migration, RepairRow.issue == issue, RepairRow.system == system,
        RepairRow.started_at > now - PERIOD, RepairRow.status == FAILED)
    with store.read() as session:
        return int(session.scalar(query) or 0) >= attempts


def newest(store: Store, migration: str, *, most: int = 50) -> list[Repair]:
    """Return the newest attempts, oldest first."""
    query = select(RepairRow).filter_by(migration=migration).order_by(RepairRow.id.desc())
    with store.read() as session:
        return [to_record(Repair, row) for row in session.scalars(query.limit(most))][::-1]
