"""How far each receiver of decisions has come: one process sends at a time, and each kill is safe.

The audit itself is the queue; a row here is a place in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import AuditEvent, NewEvent
from changeover.domain.relays import LEASE, Relay, may_send, wait_after
from changeover.store import audit
from changeover.store.base import Base, NameKey, all_records, first_record, to_record, to_row
from changeover.store.engine import Store
from changeover.store.plans import AMENDED, REGISTERED


class RelayRow(Base):
    """How far one receiver has come in a migration's audit."""

    __tablename__ = "relay"
    migration: Mapped[NameKey]
    target: Mapped[str] = mapped_column(String(80), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]
    problem: Mapped[str]
    given_up: Mapped[int]
    holder: Mapped[str] = mapped_column(String(80))
    lease_until: Mapped[datetime | None]


def all_of(store: Store, migration: str) -> list[Relay]:
    """Return how far each receiver of a migration has come."""
    query = select(RelayRow).filter_by(migration=migration).order_by(RelayRow.target)
    return all_records(store, Relay, query)


def begin(store: Store, migration: str, target: str, *, now: datetime) -> Relay:
    """Return how far a receiver has come; a new one begins with the plan that names it."""
    known = first_record(
        store, Relay, select(RelayRow).filter_by(migration=migration, target=target))
    if known is not None:
        return known
    with store.begin() as session:
        # of two processes that begin at once one makes the row
        audit.lock(session, migration)
        row = session.get(RelayRow, (migration, target))
        if row is None:
            seq = _newest_plan(session, migration) - 1
            new = Relay(migration, target, max(0, seq), 0, now)
            row = to_row(RelayRow, new)
            session.add(row)
            session.flush()
        return to_record(Relay, row)


def _newest_plan(session: Session, migration: str) -> int:
    query = select(audit.AuditRow.seq).where(
        audit.AuditRow.migration == migration,
        audit.AuditRow.kind.in_((REGISTERED, AMENDED)),
    ).order_by(audit.AuditRow.seq.desc()).limit(1)
    return session.scalar(query) or 1


def acquire(store: Store, relay: Relay, holder: str, *, now: datetime) -> Relay | None:
    """Become the one process that sends to a receiver; None when another is, or nothing is due."""
    with store.begin() as session:
        row = _locked(session, relay)
        if row is None or not may_send(to_record(Relay, row), holder, now):
            return None
        row.holder, row.lease_until = holder, now + LEASE
        return to_record(Relay, row)


def advance(
    store: Store, held: Relay, seq: int, *, now: datetime, is_all: bool = False
) -> Relay | None:
    """Note that a receiver has everything up to `seq`; None when another process sends by now.

    Args:
        store: The store.
        held: As it was acquired.
        seq: The last event that the receiver has, or does not want.
        now: The present moment.
        is_all: Whether nothing waits any more: then any process may send what comes next, as the
            one that follows this one when the plan is amended.
    """
    with store.begin() as session:
        row = _held(session, held)
        if row is None:
            return None
        _reach(row, seq, now)
        row.failing_since, row.problem = None, ""
        if is_all:
            row.holder, row.lease_until = "", None
        return to_record(Relay, row)


def fail(store: Store, held: Relay, problem: str, *, now: datetime) -> Relay | None:
    """Note a failed attempt; the next one is due after a wait. None: another sends by now."""
    with store.begin() as session:
        row = _held(session, held)
        if row is None:
            return None
        row.attempts += 1
        row.problem, row.failing_since = problem, row.failing_since or now
        row.next_at = now + wait_after(row.attempts)
        # nobody has to wait for the lease of one that only waits itself
        row.holder, row.lease_until = "", None
        return to_record(Relay, row)


def give_up(store: Store, relay: Relay, lost: Sequence[AuditEvent], *, now: datetime) -> None:
    """Pass over events that a receiver did not take for too long, and audit that, in one.

    Args:
        store: The store.
        relay: As `fail` returned it: nobody has sent since.
        lost: The events, in order.
        now: The present moment.
    """
    with store.begin() as session:
        audit.lock(session, relay.migration)
        row = _locked(session, relay)
        # another process has sent meanwhile, or given them up itself
        if row is None or row.seq != relay.seq or row.holder:
            return
        # at once: the next one has a time of its own
        row.seq, row.attempts, row.given_up = lost[-1].seq, 0, row.given_up + len(lost)
        row.next_at = now
        audit.append(session, relay.migration, NewEvent(
            actor="observer", kind="events.given_up", at=now,
            data={"to": relay.target, "events": len(lost), "first": lost[0].seq,
                  "last": lost[-1].seq, "problem": relay.problem}))


def _reach(row: RelayRow, seq: int, now: datetime) -> None:
    row.seq, row.attempts, row.next_at = max(row.seq, seq), 0, now
    row.lease_until = now + LEASE


def _locked(session: Session, relay: Relay) -> RelayRow | None:
    query = select(RelayRow).filter_by(migration=relay.migration, target=relay.target)
    return session.scalars(query.with_for_update()).one_or_none()


def _held(session: Session, held: Relay) -> RelayRow | None:
    """Return the row while this process is the one that sends from the place it knows."""
    row = _locked(session, held)
    is_ours = row is not None and (row.holder, row.seq) == (held.holder, held.seq)
    return row if is_ours else None


def head_seq(store: Store, migration: str) -> int:
    """Return the number of the newest event of a migration's audit."""
    with store.read() as session:
        head = session.get(audit.AuditHeadRow, migration)
        return head.seq if head else 0


def waiting(store: Store, relay: Relay) -> int:
    """Return how many events of the audit a receiver has not passed yet, wanted or not."""
    return max(0, head_seq(store, relay.migration) - relay.seq)
