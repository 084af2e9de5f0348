"""What happens around a cutover: trigger firings, rollbacks, health, publications, reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.domain.records import (
    HealthResult,
    Heartbeat,
    Publication,
    Report,
    Rollback,
    RollbackStep,
    TriggerFiring,
)
from changeover.domain.routing import RoutingState
from changeover.errors import CarriedElsewhere, InvalidInput
from changeover.store import audit, carriers
from changeover.store.console_tables import WantedRollbackRow
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store, upsert_of
from changeover.store.rows import to_record
from changeover.store.tables import (
    FiringRow,
    HealthRow,
    HeartbeatRow,
    PublicationRow,
    ReportRow,
    RollbackRow,
    RollbackStepRow,
)

PRUNED_AT_ONCE = 1_000
"""Results of health checks that one transaction deletes: nobody else waits for long."""


def record_firing(
    store: Store,
    migration: str,
    *,
    trigger: str,
    action: str,
    reason: str,
    evidence: dict[str, Any],
    evidence_complete_at: datetime,
    epoch: int,
    now: datetime,
) -> TriggerFiring:
    """Keep a trigger's firing; a rollback trigger fires once per epoch."""
    with store.begin() as session:
        audit.lock(session, migration)
        known = select(FiringRow).filter_by(migration=migration, trigger=trigger, epoch=epoch,
                                            action="rollback")
        row = session.scalar(known) if action == "rollback" else None
        if row is None:
            row = FiringRow(
                migration=migration, trigger=trigger, action=action, reason=reason,
                evidence=evidence, evidence_complete_at=evidence_complete_at, fired_at=now,
                epoch=epoch,
            )
            session.add(row)
            session.flush()
            audit.append(
                session, migration, actor="observer", kind="trigger.fired",
                data={"trigger": trigger, "action": action, "reason": reason}, now=now,
            )
        return to_record(TriggerFiring, row)


def firing_published(store: Store, firing_id: int, *, at: datetime) -> None:
    """Note when the gateway confirmed the rollback that a firing caused; the first time stands."""
    with store.begin() as session:
        row = session.get(FiringRow, firing_id)
        if row is not None and row.published_at is None:
            row.published_at = at


def firings_published(store: Store, migration: str, *, epoch: int, at: datetime) -> None:
    """Note when the gateway confirmed a rollback, for the firings that caused it.

    Args:
        store: The store.
        migration: Name of the migration.
        epoch: The rollback's epoch.
        at: When it was seen; what is known already stands.
    """
    waiting = select(FiringRow.id).filter_by(
        migration=migration, epoch=epoch, action="rollback", published_at=None)
    with store.read() as session:
        found = list(session.scalars(waiting))
    for firing_id in found:
        firing_published(store, firing_id, at=at)


def firings(store: Store, migration: str, *, since: datetime | None = None) -> list[TriggerFiring]:
    """Return firings in order, from `since` on."""
    query = select(FiringRow).where(FiringRow.migration == migration).order_by(FiringRow.id)
    if since is not None:
        query = query.where(FiringRow.fired_at >= since)
    with store.read() as session:
        return [to_record(TriggerFiring, row) for row in session.scalars(query)]


def want_rollback(session: Session, state: RoutingState, *, reason: str, now: datetime) -> None:
    """Call for a rollback within the caller's transaction; the first reason in a state stands."""
    session.execute(upsert_of(session)(WantedRollbackRow).values(
        migration=state.migration, version=state.version, reason=reason, at=now,
    ).on_conflict_do_nothing())


def wanted_rollback(store: Store, state: RoutingState) -> str | None:
    """Return why a rollback was called for in this very state, None when it was not."""
    with store.read() as session:
        row = session.get(WantedRollbackRow, (state.migration, state.version))
        return row.reason if row else None


def begin_rollback(
    store: Store,
    migration: str,
    *,
    epoch: int,
    reason: str,
    severity: str,
    scope: str,
    actor: str,
    cutover_id: int | None,
    now: datetime,
    flow_run_id: str | None = None,
) -> Rollback:
    """Open the rollback that created `epoch`, or return it when it was opened before.

    With `flow_run_id` it is from the first moment that run's: the observer starts no other.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        row = session.scalar(select(RollbackRow).filter_by(migration=migration, epoch=epoch))
        if row is None:
            row = RollbackRow(
                migration=migration, epoch=epoch, reason=reason, severity=severity, scope=scope,
                actor=actor, started_at=now, cutover_id=cutover_id, status="running",
                is_handed_over=False, analysis={},
            )
            session.add(row)
        if flow_run_id is not None and not row.is_handed_over:
            row.is_handed_over, row.flow_run_id = True, flow_run_id
        session.flush()
        if row.flow_run_id is not None and row.ended_at is None and row.flow_run_id == flow_run_id:
            _carried(session, row, now)
        return to_record(Rollback, row)


def rollback_of(store: Store, migration: str, epoch: int) -> Rollback | None:
    """Return the rollback that created `epoch`."""
    return _rollback(store, migration, RollbackRow.epoch == epoch)


def latest_rollback(store: Store, migration: str) -> Rollback | None:
    """Return the newest rollback."""
    return _rollback(store, migration)


def rollbacks(store: Store, migration: str) -> list[Rollback]:
    """Return all rollbacks in order."""
    query = select(RollbackRow).where(RollbackRow.migration == migration).order_by(RollbackRow.id)
    with store.read() as session:
        return [to_record(Rollback, row) for row in session.scalars(query)]


def not_handed_over(store: Store, migration: str) -> list[Rollback]:
    """Return rollbacks for which no `rollback/main` was started yet."""
    return [rollback for rollback in rollbacks(store, migration) if not rollback.is_handed_over]


def hand_over(
    store: Store, rollback_id: int, *, flow_run_id: str, now: datetime
) -> Rollback:
    """Note the flow run that was started for a rollback; one that carries it already stays."""
    with store.begin() as session:
        row = _rollback_row(session, rollback_id)
        row.is_handed_over = True
        if row.flow_run_id is None:
            row.flow_run_id = flow_run_id
            if row.ended_at is None:
                _carried(session, row, now)
        return to_record(Rollback, row)


def carry(
    store: Store, rollback_id: int, *, flow_run_id: str, lease: timedelta, now: datetime,
    after: str | None = None,
) -> Rollback:
    """Take, or keep, the right to carry a rollback's further steps; one run has it at a time.

    Said again before every step and lever: a run that lost its lease while it stood still does
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
        is_held = row.lease_until is not None and row.lease_until > now and row.ended_at is None
        is_void = row.flow_run_id in (flow_run_id, after) or _has_ended(session, row)
        if is_held and not is_void:
            raise CarriedElsewhere(
                f"not continued because flow run {row.flow_run_id} carries rollback {rollback_id}",
                next_step="Everyone is at the baseline. The other run goes on by itself; if it "
                f"says nothing more, run `rollback/main` again after {row.lease_until:%T} UTC")
        row.is_handed_over, row.flow_run_id, row.lease_until = True, flow_run_id, now + lease
        if row.ended_at is None:
            _carried(session, row, now)
        return to_record(Rollback, row)


def save_step(store: Store, step: RollbackStep) -> RollbackStep:
    """Keep a step's result; a step that is done stays done."""
    with store.begin() as session:
        row = session.get(RollbackStepRow, (step.rollback_id, step.number))
        if row is None or row.status != "done":
            row = session.merge(RollbackStepRow(
                rollback_id=step.rollback_id, number=step.number, name=step.name,
                status=step.status, detail=step.detail, started_at=step.started_at,
                ended_at=step.ended_at,
            ))
        return to_record(RollbackStep, row)


def steps(store: Store, rollback_id: int) -> list[RollbackStep]:
    """Return a rollback's steps in order."""
    query = select(RollbackStepRow).filter_by(rollback_id=rollback_id)
    with store.read() as session:
        rows = session.scalars(query.order_by(RollbackStepRow.number))
        return [to_record(RollbackStep, row) for row in rows]


def finish_rollback(
    store: Store, rollback_id: int, *, status: str, analysis: dict[str, Any], now: datetime
) -> Rollback:
    """Close a rollback as `completed` or `needs_person`; the first end stands."""
    with store.begin() as session:
        row = _rollback_row(session, rollback_id)
        if row.ended_at is None:
            row.status, row.analysis, row.ended_at = status, analysis, now
            audit.append(
                session, row.migration, actor=f"rollback {rollback_id}",
                kind=f"rollback.{status}", data={"rollback": rollback_id}, now=now,
            )
            carriers.drop_in(session, row.migration, rollback_subject(rollback_id))
        return to_record(Rollback, row)


def rollback_subject(rollback_id: int) -> str:
    """Return the name under which it is kept who carries a rollback's further steps."""
    return f"rollback {rollback_id}"


def _carried(session: Session, row: RollbackRow, now: datetime) -> None:
    """Note that the row's run carries the rollback."""
    carriers.take_in(session, row.migration, rollback_subject(row.id), flow="rollback",
                     flow_run_id=str(row.flow_run_id), now=now)


def _has_ended(session: Session, row: RollbackRow) -> bool:
    """Whether it is known that the run which has the lease does nothing more."""
    found = carriers.one_in(session, row.migration, rollback_subject(row.id))
    return found is not None and found.flow_run_id == row.flow_run_id and found.end is not None


def save_health(store: Store, results: Sequence[HealthResult]) -> None:
    """Keep the results of one health check."""
    if not results:
        return
    values = [{"migration": one.migration, "at": one.at, "check_name": one.check,
               "status": one.status, "detail": one.detail, "data": one.data} for one in results]
    with store.begin(is_durable=False) as session:
        statement = upsert_of(session)(HealthRow.__table__).values(values)
        session.execute(statement.on_conflict_do_update(
            index_elements=("migration", "at", "check_name"),
            set_={name: statement.excluded[name] for name in ("status", "detail", "data")}))


def prune_health(store: Store, migration: str, *, before: datetime) -> int:
    """Forget results of health checks that are older; return how many."""
    old = (HealthRow.migration == migration, HealthRow.at < before)
    return delete_oldest(store, HealthRow, HealthRow.at, old, most=PRUNED_AT_ONCE)


def latest_health(store: Store, migration: str) -> list[HealthResult]:
    """Return the results of the newest health check."""
    newest = (
        select(HealthRow.at).where(HealthRow.migration == migration)
        .order_by(HealthRow.at.desc()).limit(1).scalar_subquery()
    )
    query = select(HealthRow).where(HealthRow.migration == migration, HealthRow.at == newest)
    with store.read() as session:
        return [to_record(HealthResult, row) for row in session.scalars(query)]


def health_since(store: Store, migration: str, *, since: datetime) -> list[HealthResult]:
    """Return the results of all health checks since a time, oldest first."""
    query = select(HealthRow).where(HealthRow.migration == migration, HealthRow.at >= since)
    with store.read() as session:
        return [to_record(HealthResult, row) for row in session.scalars(
            query.order_by(HealthRow.at))]


def beat(store: Store, service: str, *, pid: int, detail: str = "", now: datetime) -> None:
    """Note a service's sign of life."""
    with store.begin(is_durable=False) as session:
        sign = {"at": now, "pid": pid, "detail": detail}  # two may begin at the same moment
        session.execute(upsert_of(session)(HeartbeatRow).values(service=service, **sign)
                        .on_conflict_do_update(index_elements=("service",), set_=sign))


def heartbeats(store: Store) -> list[Heartbeat]:
    """Return the last sign of life of every service."""
    with store.read() as session:
        return [to_record(Heartbeat, row) for row in session.scalars(select(HeartbeatRow))]


def save_publication(store: Store, publication: Publication) -> None:
    """Keep an attempt to publish."""
    with store.begin() as session:
        session.add(PublicationRow(
            migration=publication.migration, epoch=publication.epoch,
            version=publication.version, at=publication.at,
            is_confirmed=publication.is_confirmed, seconds=publication.seconds,
            error=publication.error,
        ))


def publications(store: Store, migration: str) -> list[Publication]:
    """Return the attempts to publish, in order."""
    query = select(PublicationRow).where(PublicationRow.migration == migration)
    with store.read() as session:
        rows = session.scalars(query.order_by(PublicationRow.id))
        return [to_record(Publication, row) for row in rows]


def save_report(store: Store, report: Report) -> None:
    """Keep where a report was written."""
    with store.begin() as session:
        session.add(ReportRow(
            migration=report.migration, subject=report.subject, cutover_id=report.cutover_id,
            at=report.at, html_path=report.html_path, markdown_path=report.markdown_path,
            json_path=report.json_path,
        ))


def latest_report(store: Store, migration: str, subject: str | None = None) -> Report | None:
    """Return the newest report, of one subject if given."""
    query = select(ReportRow).where(ReportRow.migration == migration)
    if subject is not None:
        query = query.where(ReportRow.subject == subject)
    with store.read() as session:
        row = session.scalar(query.order_by(ReportRow.id.desc()).limit(1))
        return to_record(Report, row) if row else None


def _rollback(store: Store, migration: str, *conditions: Any) -> Rollback | None:
    query = select(RollbackRow).where(RollbackRow.migration == migration, *conditions)
    with store.read() as session:
        row = session.scalar(query.order_by(RollbackRow.id.desc()).limit(1))
        return to_record(Rollback, row) if row else None


def _rollback_row(session: Session, rollback_id: int) -> RollbackRow:
    row = session.get(RollbackRow, rollback_id, with_for_update=True)
    if row is None:
        raise InvalidInput(f"no rollback {rollback_id}")
    return row
