"""Triggers that fired: what each did, and when the gateway confirmed it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.messages import Message, Severity
from changeover.domain.rollbacks import TriggerFiring
from changeover.plan.triggers import TriggerAction
from changeover.store import audit, messages
from changeover.store.base import Base, RowId, all_records, to_record, to_row
from changeover.store.engine import Store


class FiringRow(Base):
    """A trigger that fired; rollback triggers fire once per epoch."""

    __tablename__ = "trigger_firing"
    id: Mapped[RowId]
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    trigger: Mapped[str] = mapped_column("trigger_name", String(64))
    action: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    evidence_complete_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    epoch: Mapped[int]
    published_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_firing_migration", "migration", "fired_at"),)


def record(store: Store, firing: TriggerFiring) -> TriggerFiring:
    """Save a trigger's firing; a rollback trigger fires once per epoch."""
    with store.begin() as session:
        # two observers may see the same second: the second one finds the first one's row
        audit.lock(session, firing.migration)
        row = _known(session, firing)
        if row is None:
            row = to_row(FiringRow, firing)
            session.add(row)
            session.flush()
            audit.append(session, firing.migration, NewEvent(
                actor="observer", kind="trigger.fired", at=firing.fired_at,
                data={"trigger": firing.trigger, "action": firing.did,
                      "reason": firing.reason, "evidence": firing.evidence}))
        return to_record(TriggerFiring, row)


def _known(session: Session, firing: TriggerFiring) -> FiringRow | None:
    """Return the firing of the same rollback trigger in the same epoch.

    The rollback of one segment leaves the epoch as it is: there the same firing is of one second.
    """
    if firing.action is not TriggerAction.ROLLBACK:
        return None
    known = select(FiringRow).filter_by(
        migration=firing.migration, trigger=firing.trigger, epoch=firing.epoch,
        action=TriggerAction.ROLLBACK)
    # only the rollback of a segment has a scope
    if "scope" in firing.evidence:
        known = known.filter_by(evidence_complete_at=firing.evidence_complete_at)
    return session.scalar(known)


def end(
    store: Store, migration: str, trigger: str, *, reason: str, second: int, at: datetime
) -> None:
    """Record that a trigger which fired is over, and notify people of it; once.

    Args:
        store: The store.
        migration: Name of the migration.
        trigger: Name of the trigger.
        reason: One sentence with the numbers.
        second: Unix second that completed it.
        at: When that was seen.
    """
    with store.begin() as session:
        is_new = audit.append(session, migration, NewEvent(
            actor="observer", kind="trigger.cleared", at=at,
            data={"trigger": trigger, "reason": reason},
            once_key=f"trigger-cleared-{trigger}-{second}"))
        if is_new:
            title = f"trigger {trigger} of {migration} is over"
            messages.put_in(session, Message(
                migration, key=title, severity=Severity.INFO, title=title, body=reason, at=at))


def note_published(store: Store, firing_id: int, *, at: datetime) -> None:
    """Note when the gateway confirmed the rollback that a firing caused; the first time stands."""
    with store.begin() as session:
        row = session.get(FiringRow, firing_id)
        if row is not None and row.published_at is None:
            row.published_at = at


def note_rollback_published(store: Store, migration: str, *, epoch: int, at: datetime) -> None:
    """Note when the gateway confirmed a rollback, for the firings that caused it.

    Args:
        store: The store.
        migration: Name of the migration.
        epoch: The rollback's epoch.
        at: When it was seen; what is known already stands.
    """
    waiting = select(FiringRow.id).filter_by(
        migration=migration, epoch=epoch, action=TriggerAction.ROLLBACK, published_at=None)
    # read first: without anything to note, nobody has to wait in line to write
    with store.read() as session:
        found = list(session.scalars(waiting))
    for firing_id in found:
        note_published(store, firing_id, at=at)


def all_of(store: Store, migration: str, *, since: datetime | None = None) -> list[TriggerFiring]:
    """Return firings in order, from `since` on."""
    query = select(FiringRow).where(FiringRow.migration == migration).order_by(FiringRow.id)
    if since is not None:
        query = query.where(FiringRow.fired_at >= since)
    return all_records(store, TriggerFiring, query)

