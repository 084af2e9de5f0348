"""The append-only audit: every decision and change, each carrying the hash of the one before.

`hash = sha256(canonical JSON of [migration, seq, at, actor, kind, data, previous_hash])`. The head
row locks the chain while a link is added and reveals a tail that was cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import AuditEvent, NewEvent
from changeover.domain.storable import storable
from changeover.domain.tokens import without_tokens
from changeover.store.base import Base, NameKey
from changeover.store.engine import Store
from changeover.store.upserts import upsert_of


class AuditHeadRow(Base):
    """The newest link of each chain: a truncated tail does not match it."""

    __tablename__ = "audit_head"
    migration: Mapped[NameKey]
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class AuditRow(Base):
    """One audit event; rows are never changed or deleted (triggers refuse it).

    `data` is canonical JSON text, so that the hash can be recomputed to the byte.
    """

    __tablename__ = "audit_event"
    migration: Mapped[NameKey]
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str]
    kind: Mapped[str] = mapped_column(String(80))
    data: Mapped[str]
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    once_key: Mapped[str | None] = mapped_column(String(200))
    __table_args__ = (UniqueConstraint("migration", "once_key", name="uq_audit_once"),)


GENESIS = "0" * 64
"""What the first link of a chain has instead of the hash of the one before."""


def canonical(value: object) -> str:
    """Return JSON with sorted keys and no spaces; the same value gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(row: AuditRow) -> str:
    """Return the hash that a row must carry."""
    link = [row.migration, row.seq, row.at, row.actor, row.kind, row.data, row.previous_hash]
    return hashlib.sha256(canonical(link).encode()).hexdigest()


def append(session: Session, migration: str, event: NewEvent) -> bool:
    """Add a link inside the caller's transaction, so that both are saved or neither.

    Returns:
        Whether it was added; False when one with the same `once_key` exists.
    """
    head = lock(session, migration)
    # asked under the head's lock: two who do the same thing at once note it once
    if event.once_key and _is_known(session, migration, event.once_key):
        return False
    row = AuditRow(
        migration=migration,
        seq=head.seq + 1,
        at=event.at.isoformat(),
        # the hash is of what is stored, which is what is read back
        actor=storable(without_tokens(event.actor)),
        kind=event.kind,
        # the last place to keep out what a person typed where it does not belong
        data=without_tokens(canonical(event.data)),
        previous_hash=head.hash,
        once_key=event.once_key or None,
    )
    row.hash = digest(row)
    session.add(row)
    head.seq, head.hash = row.seq, row.hash
    session.flush()
    return True


def record(store: Store, migration: str, event: NewEvent) -> bool:
    """Add a link in a transaction of its own; return whether it was added, as `append` does."""
    with store.begin() as session:
        return append(session, migration, event)


def is_recorded(store: Store, migration: str, once_key: str) -> bool:
    """Whether there is a link with this `once_key`."""
    with store.read() as session:
        return _is_known(session, migration, once_key)


def _is_known(session: Session, migration: str, once_key: str) -> bool:
    same = select(AuditRow.seq).filter_by(migration=migration, once_key=once_key)
    return session.scalar(same) is not None


def events(
    store: Store, migration: str, *, after_seq: int = 0, limit: int | None = None
) -> list[AuditEvent]:
    """Return events in order, from `after_seq` on."""
    query = (
        select(AuditRow)
        .where(AuditRow.migration == migration, AuditRow.seq > after_seq)
        .order_by(AuditRow.seq)
        .limit(limit)
    )
    with store.read() as session:
        return [_event(row) for row in session.scalars(query)]


def newest_of(store: Store, migration: str, kind: str) -> AuditEvent | None:
    """Return the newest event of a kind, None when there is none."""
    query = (
        select(AuditRow).where(AuditRow.migration == migration, AuditRow.kind == kind)
        .order_by(AuditRow.seq.desc()).limit(1)
    )
    with store.read() as session:
        row = session.scalar(query)
        return _event(row) if row else None


def newest_kind_in(session: Session, migration: str, kinds: Sequence[str]) -> str | None:
    """Return which of some kinds the newest event of any of them has; None when there is none."""
    query = select(AuditRow.kind).where(
        AuditRow.migration == migration, AuditRow.kind.in_(kinds))
    return session.scalar(query.order_by(AuditRow.seq.desc()).limit(1))


def of_kind(store: Store, migration: str, kind: str) -> list[AuditEvent]:
    """Return the events of a kind in order."""
    query = (
        select(AuditRow).where(AuditRow.migration == migration, AuditRow.kind == kind)
        .order_by(AuditRow.seq)
    )
    with store.read() as session:
        return [_event(row) for row in session.scalars(query)]


def newest(store: Store, migration: str, *, limit: int) -> list[AuditEvent]:
    """Return the newest events, the newest first."""
    query = (
        select(AuditRow).where(AuditRow.migration == migration)
        .order_by(AuditRow.seq.desc()).limit(limit)
    )
    with store.read() as session:
        return [_event(row) for row in session.scalars(query)]


def verify(store: Store, migration: str) -> list[str]:
    """Return one sentence for each fault in the chain; an empty list means it is intact."""
    problems: list[str] = []
    expected_seq, previous = 1, GENESIS
    with store.read() as session:
        rows = session.scalars(
            select(AuditRow).where(AuditRow.migration == migration).order_by(AuditRow.seq)
        )
        for row in rows:
            if row.seq != expected_seq:
                problems.append(f"events {expected_seq} to {row.seq - 1} are missing")
            elif row.previous_hash != previous:
                problems.append(f"event {row.seq} does not follow the one before it")
            # not `elif`: a link may be out of its place and changed as well
            if row.hash != digest(row):
                problems.append(f"event {row.seq} ({row.kind}) was changed after it was written")
            expected_seq, previous = row.seq + 1, row.hash
        head = session.get(AuditHeadRow, migration)
    if head is None:
        # a chain without head and without links was never begun
        return problems if expected_seq == 1 else [*problems, "the chain's head is missing"]
    if (head.seq, head.hash) != (expected_seq - 1, previous):
        problems.append(
            f"the chain ends at event {expected_seq - 1}, its head says {head.seq}: "
            "the tail was cut off or replaced"
        )
    return problems


def lock(session: Session, migration: str) -> AuditHeadRow:
    """Return the chain's head, locked until the transaction ends: one writer at a time."""
    # the row is made first: where there is none, nothing can be locked
    insert = upsert_of(session)
    session.execute(
        insert(AuditHeadRow)
        .values(migration=migration, seq=0, hash=GENESIS)
        .on_conflict_do_nothing()
    )
    query = select(AuditHeadRow).where(AuditHeadRow.migration == migration).with_for_update()
    # what this session read before it had the lock may be old
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _event(row: AuditRow) -> AuditEvent:
    return AuditEvent(
        migration=row.migration,
        seq=row.seq,
        at=datetime.fromisoformat(row.at),
        actor=row.actor,
        kind=row.kind,
        data=json.loads(row.data),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
