"""Rollbacks: who wants one, which flow run goes on with it, how it ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.rollbacks import Rollback, RollbackStatus
from changeover.domain.routing import RoutingState
from changeover.domain.run_ends import Carrier
from changeover.errors import CarriedElsewhere, InvalidInput
from changeover.store import audit, carriers
from changeover.store.base import Base, NameKey, RowId, all_records, first_record, to_record, to_row
from changeover.store.engine import Store
from changeover.store.upserts import upsert_of


class RollbackRow(Base):
    """One rollback per migration and epoch."""

    __tablename__ = "rollback"
    id: Mapped[RowId]
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    epoch: Mapped[int]
    reason: Mapped[str]
    severity: Mapped[str] = mapped_column(String(20))
    scope: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str]
    started_at: Mapped[datetime]
    cutover_id: Mapped[int | None] = mapped_column(ForeignKey("cutover.id"))
    ended_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(String(20))
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    is_handed_over: Mapped[bool]
    lease_until: Mapped[datetime | None]
    analysis: Mapped[dict[str, Any]]
    __table_args__ = (UniqueConstraint("migration", "epoch", name="uq_rollback_epoch"),)


class WantedRollbackRow(Base):
    """A rollback that a failed item calls for. `version` is the routing state's that it failed in:
    whatever changes the state afterwards, a rollback or a person, makes the wish void."""

    __tablename__ = "wanted_rollback"
    migration: Mapped[NameKey]
    version: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]


def want_in(session: Session, state: RoutingState, *, reason: str, now: datetime) -> None:
    """Call for a rollback within the caller's transaction; the first reason in a state stands."""
    session.execute(upsert_of(session)(WantedRollbackRow).values(
        migration=state.migration, version=state.version, reason=reason, at=now,
    ).on_conflict_do_nothing())


def wanted(store: Store, state: RoutingState) -> str | None:
    """Return why a rollback was called for in this very state, None when it was not."""
    with store.read() as session:
        row = session.get(WantedRollbackRow, (state.migration, state.version))
        return row.reason if row else None


def begin(store: Store, rollback: Rollback) -> Rollback:
    """Open the rollback that created an epoch, or return it when it was opened before.

    With a `flow_run_id` it is from the first moment that run's: the observer starts no other.
    """
    same = select(RollbackRow).filter_by(migration=rollback.migration, epoch=rollback.epoch)
    run_id = rollback.flow_run_id
    # the observer and a command may open it at once: the second finds the row
    with store.begin() as session:
        audit.lock(session, rollback.migration)
        row = session.scalar(same)
        if row is None:
            row = to_row(RollbackRow, replace(rollback, flow_run_id=None))
            session.add(row)
        # the first run stays: another one that comes for the same epoch carries nothing
        if run_id is not None and not row.is_handed_over:
            row.is_handed_over, row.flow_run_id = True, run_id
        session.flush()
        is_carried = run_id is not None and row.flow_run_id == run_id
        # known from the first moment on, so that the observer sees it end even if it is killed now
        if is_carried and row.ended_at is None:
            _carried(session, row, rollback.started_at)
        return to_record(Rollback, row)


def get(store: Store, rollback_id: int) -> Rollback:
    """Return a rollback.

    Raises:
        InvalidInput: No such rollback.
    """
    with store.read() as session:
        row = session.get(RollbackRow, rollback_id)
        if row is None:
            raise InvalidInput(f"no rollback {rollback_id}")
        return to_record(Rollback, row)


def of_epoch(store: Store, migration: str, epoch: int) -> Rollback | None:
    """Return the rollback that created `epoch`."""
    return _rollback(store, migration, RollbackRow.epoch == epoch)


def latest(store: Store, migration: str) -> Rollback | None:
    """Return the newest rollback."""
    return _rollback(store, migration)


def all_of(store: Store, migration: str) -> list[Rollback]:
    """Return all rollbacks in order."""
    query = select(RollbackRow).where(RollbackRow.migration == migration).order_by(RollbackRow.id)
    return all_records(store, Rollback, query)


def not_handed_over(store: Store, migration: str) -> list[Rollback]:
    """Return rollbacks for which no `rollback/main` was started yet."""
    return [rollback for rollback in all_of(store, migration) if not rollback.is_handed_over]


def hand_over(
    store: Store, rollback_id: int, *, flow_run_id: str, now: datetime
) -> Rollback:
    """Note the flow run that was started for a rollback; one that carries it already stays."""
    with store.begin() as session:
        row = _rollback_row(session, rollback_id)
        # started is started: also when another run carries it already
        row.is_handed_over = True
        if row.flow_run_id is None:
            row.flow_run_id = flow_run_id
            if row.ended_at is None:
                _carried(session, row, now)
        return to_record(Rollback, row)


def acquire_lease(
    store: Store, rollback_id: int, *, flow_run_id: str, lease: timedelta, now: datetime,
    after: str | None = None,
) -> Rollback:
    """Acquire or renew the lease on the remaining rollback steps; one run has it at a time.

    Renewed before every step and lever: a run that lost its lease while it stood still does
    nothing more.

    Args:
        store: The store.
        rollback_id: Which rollback.
        flow_run_id: The run that asks.
        lease: For how long nobody else may, unless this run says so again.
        now: The present moment.
        after: A run that is known to have ended; its lease is void.

    Raises:
        CarriedElsewhere: Another run has it.
    """
    with store.begin() as session:
        row = _rollback_row(session, rollback_id)
        # a lease on what has ended holds nobody up
        is_held = row.lease_until is not None and row.lease_until > now and row.ended_at is None
        # void when it is our own, or when its run is known to do nothing more
        is_void = row.flow_run_id in (flow_run_id, after) or _has_ended(session, row)
        if is_held and not is_void:
            other = f"flow run {row.flow_run_id} carries rollback {rollback_id}"
            again = f"run `rollback/main` again after {row.lease_until:%T} UTC"
            raise CarriedElsewhere(
                f"not continued because {other}",
                next_step="Everyone is at the baseline. "
                "The other run goes on by itself; "
                f"if it says nothing more, {again}")
        row.is_handed_over, row.flow_run_id, row.lease_until = True, flow_run_id, now + lease
        if row.ended_at is None:
            _carried(session, row, now)
        return to_record(Rollback, row)


def finish(
    store: Store, rollback_id: int, *, status: RollbackStatus, analysis: dict[str, Any],
    now: datetime,
) -> Rollback:
    """Close a rollback as `completed` or `needs_person`; the first end stands."""
    with store.begin() as session:
        row = _rollback_row(session, rollback_id)
        if row.ended_at is None:
            row.status, row.analysis, row.ended_at = status, analysis, now
            audit.append(session, row.migration, NewEvent(
                actor=f"rollback {rollback_id}", kind=f"rollback.{status}", at=now,
                data={"rollback": rollback_id}))
            carriers.drop_in(session, row.migration, subject(rollback_id))
        return to_record(Rollback, row)


def subject(rollback_id: int) -> str:
    """Return the name under which it is kept who carries a rollback's further steps."""
    return f"rollback {rollback_id}"


def _carried(session: Session, row: RollbackRow, now: datetime) -> None:
    """Note that the row's run carries the rollback."""
    carriers.assign_in(session, Carrier(
        row.migration, subject(row.id), "rollback", str(row.flow_run_id), since=now))


def _has_ended(session: Session, row: RollbackRow) -> bool:
    """Whether it is known that the run which has the lease does nothing more."""
    # `end` belongs to the run that the carrier names, which may be another one
    found = carriers.one_in(session, row.migration, subject(row.id))
    return found is not None and found.flow_run_id == row.flow_run_id and found.end is not None


def _rollback(store: Store, migration: str, *conditions: Any) -> Rollback | None:
    query = select(RollbackRow).where(RollbackRow.migration == migration, *conditions)
    return first_record(store, Rollback, query.order_by(RollbackRow.id.desc()))


def _rollback_row(session: Session, rollback_id: int) -> RollbackRow:
    row = session.get(RollbackRow, rollback_id, with_for_update=True)
    if row is None:
        raise InvalidInput(f"no rollback {rollback_id}")
    return row

