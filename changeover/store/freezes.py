"""Freezes of a migration: begun and ended by people, audited, each once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import Author, NewEvent
from changeover.domain.freezes import Freeze, is_same
from changeover.errors import Refused
from changeover.store import audit
from changeover.store.base import Base, RowId, to_record, to_row
from changeover.store.engine import Store


class FreezeRow(Base):
    """One freeze."""

    __tablename__ = "freeze"
    id: Mapped[RowId]
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"), index=True)
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str]
    at: Mapped[datetime]
    until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None] = mapped_column(String(200))


def begin(store: Store, wanted: Freeze) -> Freeze:
    """Freeze a migration, or give the freeze that is in force another end and reason.

    The same again changes nothing; a duration that is said again soon counts from the first time.
    """
    with store.begin() as session:
        # two people may freeze at the same moment: one freeze is in force afterwards
        audit.lock(session, wanted.migration)
        row = _active(session, wanted.migration, wanted.at)
        if row is not None and is_same(to_record(Freeze, row), wanted):
            return to_record(Freeze, row)
        if row is not None:  # the later words count; the earlier ones stay in the table
            row.ended_at, row.ended_by = wanted.at, wanted.actor
        row = to_row(FreezeRow, wanted)
        session.add(row)
        session.flush()
        until = wanted.until.isoformat() if wanted.until else None
        audit.append(session, wanted.migration, NewEvent(
            actor=wanted.actor, kind="freeze.on", at=wanted.at,
            data={"freeze": row.id, "reason": wanted.reason, "until": until}))
        return to_record(Freeze, row)


def end(store: Store, migration: str, author: Author, *, now: datetime) -> Freeze:
    """End the freeze that is in force; said again by who ended the newest one, it is the same.

    Raises:
        Refused: None is.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        row = _active(session, migration, now)
        # an error, not silence: whoever thaws nothing has perhaps named the wrong migration
        if row is None:
            newest = _newest(session, migration)
            if newest is not None and newest.ended_by == author.actor:
                return to_record(Freeze, newest)
            raise Refused(f"nothing was changed because {migration} is not frozen")
        row.ended_at, row.ended_by = now, author.actor
        audit.append(session, migration, NewEvent(
            actor=author.actor, kind="freeze.off", at=now,
            data={"freeze": row.id, "reason": author.reason}))
        return to_record(Freeze, row)


def active(store: Store, migration: str, *, now: datetime) -> Freeze | None:
    """Return the freeze that is in force; None when there is none."""
    with store.read() as session:
        return active_in(session, migration, now)


def active_in(session: Session, migration: str, now: datetime) -> Freeze | None:
    """Return the freeze that is in force, within the caller's transaction."""
    row = _active(session, migration, now)
    return to_record(Freeze, row) if row is not None else None


def was_any(store: Store, migration: str) -> bool:
    """Whether the migration was ever frozen."""
    with store.read() as session:
        return session.scalar(
            select(FreezeRow.id).where(FreezeRow.migration == migration).limit(1)) is not None


def _newest(session: Session, migration: str) -> FreezeRow | None:
    query = select(FreezeRow).where(FreezeRow.migration == migration)
    return session.scalar(query.order_by(FreezeRow.id.desc()).limit(1))


def _active(session: Session, migration: str, now: datetime) -> FreezeRow | None:
    return session.scalar(
        select(FreezeRow)
        .where(FreezeRow.migration == migration, FreezeRow.ended_at.is_(None),
               # a freeze with an end is over at that moment, without anybody ending it
               or_(FreezeRow.until.is_(None), FreezeRow.until > now))
        .order_by(FreezeRow.id.desc()).limit(1))
