"""Cutovers, their stages and the verdicts of their gates. Every function may be called twice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import ROLLED_BACK, Mode
from changeover.domain.run_ends import Carrier
from changeover.errors import CutoverActive, InvalidInput, Refused
from changeover.plan.model import Stage
from changeover.store import audit, carriers
from changeover.store.base import Base, RowId, all_records, first_record, to_record
from changeover.store.engine import Store
from changeover.store.routing import RoutingRow, lock_epoch


class CutoverRow(Base):
    """One cutover; the partial unique index allows one running cutover per migration."""

    __tablename__ = "cutover"
    id: Mapped[RowId]
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    epoch: Mapped[int]
    status: Mapped[str] = mapped_column(String(20))
    flow_run_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str]
    __table_args__ = (
        Index(
            "uq_cutover_running",
            "migration",
            unique=True,
            # on PostgreSQL the first revision says the same: named here, its dialect would be
            # read by every command, a twentieth of its start
            sqlite_where=text("status = 'running'"),
        ),
    )


class StageRow(Base):
    """One stage of a cutover."""

    __tablename__ = "stage"
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    index: Mapped[int] = mapped_column("stage_index", Integer)
    status: Mapped[str] = mapped_column(String(20))
    entered_at: Mapped[datetime]
    soak_until: Mapped[datetime]
    round: Mapped[int]
    rechecks: Mapped[int]
    decided_at: Mapped[datetime | None]
    reason: Mapped[str]


def begin(
    store: Store, migration: str, *, flow_run_id: str, now: datetime, flow: str = "cutover"
) -> Cutover:
    """Open a cutover for a run of a flow, or return the one that this run carries already.

    A run that begins again (after a kill, or because a person retried it) carries it anew, even
    if its end was noted before.

    Raises:
        CutoverActive: Another one of the migration has not ended.
        Refused: The migration is rolled back, or is on the candidate already; or the run is one of
            another migration, which was the newest when it began.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        mine = session.scalar(select(CutoverRow).where(CutoverRow.flow_run_id == flow_run_id))
        if mine is not None and mine.migration != migration:
            raise Refused(f"not continued because this run belongs to migration {mine.migration}",
                          next_step=f"Start a run with migration={mine.migration}")
        # one that has ended is returned as it is: the same run never begins a second one
        if mine is not None:
            if mine.status == CutoverStatus.RUNNING:
                _carried(session, mine, flow, now)
            return to_record(Cutover, mine)
        state = session.get(RoutingRow, migration)
        if state is None:
            raise InvalidInput(f"no migration {migration} is registered")
        # the unique index would refuse it as well, but in the words of a database
        _refuse_second(session, migration)
        _refuse_mode(migration, Mode(state.mode))
        row = CutoverRow(
            migration=migration, epoch=state.epoch, status=CutoverStatus.RUNNING,
            flow_run_id=flow_run_id, started_at=now, outcome="",
        )
        session.add(row)
        session.flush()
        note_in(session, row, "cutover.started", {"flow_run_id": flow_run_id}, now=now)
        _carried(session, row, flow, now)
        return to_record(Cutover, row)


def adopt(
    store: Store, cutover_id: int, former: Carrier, *, flow_run_id: str, now: datetime
) -> bool:
    """Have another flow run carry a cutover on, whose run ended; one of many wins.

    Args:
        store: The store.
        cutover_id: The cutover.
        former: The run that was seen to have ended; it may do nothing more.
        flow_run_id: The run of the same flow that carries the cutover from now on.
        now: The present moment.

    Returns:
        Whether this run carries it now; False when another was faster or the cutover has ended.
    """
    with store.begin() as session:
        row = lock_in(session, cutover_id)
        audit.lock(session, row.migration)
        is_running = row.status == CutoverStatus.RUNNING
        # the same run again is fine: it was killed after the commit and tries once more
        if not is_running or row.flow_run_id not in (former.flow_run_id, flow_run_id):
            return False
        if row.flow_run_id != flow_run_id:
            row.flow_run_id = flow_run_id
            data = {"flow_run_id": flow_run_id, "before": former.flow_run_id}
            note_in(session, row, "cutover.continued", data, now=now)
        _carried(session, row, former.flow, now=now)
        return True


def subject(cutover_id: int) -> str:
    """Return the name under which the store knows who carries a cutover."""
    return f"cutover {cutover_id}"


def get(store: Store, cutover_id: int) -> Cutover:
    """Return a cutover.

    Raises:
        InvalidInput: No such cutover.
    """
    with store.read() as session:
        return to_record(Cutover, _row(session, cutover_id))


def active(store: Store, migration: str) -> Cutover | None:
    """Return the running cutover of a migration, if one runs."""
    return _first(store, migration, CutoverRow.status == CutoverStatus.RUNNING)


def latest(store: Store, migration: str) -> Cutover | None:
    """Return the newest cutover of a migration."""
    return _first(store, migration)


def of_flow_run(store: Store, flow_run_id: str) -> Cutover | None:
    """Return the cutover that a flow run carries out."""
    query = select(CutoverRow).filter_by(flow_run_id=flow_run_id)
    return first_record(store, Cutover, query)


def all_of(store: Store, migration: str) -> list[Cutover]:
    """Return every cutover of a migration, oldest first."""
    query = select(CutoverRow).where(CutoverRow.migration == migration).order_by(CutoverRow.id)
    return all_records(store, Cutover, query)


def finish(
    store: Store, cutover_id: int, status: CutoverStatus, *, outcome: str, now: datetime,
    flow_run_id: str | None = None,
) -> Cutover:
    """Close a cutover; the first final status stands, later calls return it.

    Whoever closes it after a rollback closes the stage that was open, too: a stage that is open in
    a cutover that has ended would soak for ever.

    Args:
        store: The store.
        cutover_id: The cutover.
        status: How it ended.
        outcome: Why, for people.
        now: The present moment.
        flow_run_id: The run that closes it; None: a person or the observer does. After a rollback
            any run may.

    Raises:
        CarriedElsewhere: Another run carries the cutover and goes on with it.
        StaleEpoch: It was to be promoted, or stopped where it was, but a rollback came first.
    """
    with store.begin() as session:
        row = lock_in(session, cutover_id)
        if row.status == CutoverStatus.RUNNING:
            if flow_run_id is not None and status is not CutoverStatus.ROLLED_BACK:
                carrier = carriers.one_in(session, row.migration, subject(cutover_id))
                carriers.refuse_other(carrier, flow_run_id)
            # after the cutover and before the audit, as everybody locks them
            if status in (CutoverStatus.PROMOTED, CutoverStatus.STOPPED):
                lock_epoch(session, row.migration, row.epoch)
            if status is CutoverStatus.ROLLED_BACK:
                _close_open(session, row, outcome, now)
            row.status, row.outcome, row.ended_at = status, outcome, now
            note_in(session, row, f"cutover.{status}", {"outcome": outcome}, now=now)
            carriers.drop_in(session, row.migration, subject(cutover_id))
        return to_record(Cutover, row)


def enter_stage(store: Store, cutover_id: int, stage: Stage, *, now: datetime) -> StageRecord:
    """Begin a stage's soak; entered once, its times never move by entering again."""
    with store.begin() as session:
        cutover = lock_in(session, cutover_id)
        row = session.get(StageRow, (cutover_id, stage.key))
        # its times are those of the first entry: a run that begins again must not soak longer
        if row is None:
            row = StageRow(
                cutover_id=cutover_id, key=stage.key, index=stage.index,
                status=StageStatus.SOAKING, entered_at=now, soak_until=now + stage.soak,
                round=1, rechecks=0, reason="",
            )
            session.add(row)
            note_in(session, cutover, "stage.entered", {
                "stage": stage.key, "weight": stage.weight, "segments": list(stage.segments),
                "soak_until": row.soak_until.isoformat()}, now=now)
        return to_record(StageRecord, row)


def stage(store: Store, cutover_id: int, key: str) -> StageRecord | None:
    """Return a stage of a cutover, or None before it was entered."""
    with store.read() as session:
        row = session.get(StageRow, (cutover_id, key))
        return to_record(StageRecord, row) if row else None


def stages(store: Store, cutover_id: int) -> list[StageRecord]:
    """Return the stages entered so far, in order."""
    query = select(StageRow).where(StageRow.cutover_id == cutover_id).order_by(StageRow.index)
    return all_records(store, StageRecord, query)


def extend_soak(
    store: Store, cutover_id: int, key: str, *, until: datetime, rechecks: int
) -> StageRecord:
    """Wait until `until` before evaluation number `rechecks`; nothing when that was reached."""
    with store.begin() as session:
        lock_in(session, cutover_id)
        row = _stage_row(session, cutover_id, key)
        # a call that is repeated must not move the end of the soak once more
        if row.rechecks < rechecks:
            row.rechecks, row.soak_until = rechecks, until
        return to_record(StageRecord, row)


def soak_until_at_least(
    store: Store, cutover_id: int, key: str, *, until: datetime
) -> StageRecord:
    """Let a stage soak until `until`, or for longer where it does already."""
    with store.begin() as session:
        lock_in(session, cutover_id)
        row = _stage_row(session, cutover_id, key)
        row.soak_until = max(row.soak_until, until)
        return to_record(StageRecord, row)


def next_round(
    store: Store, held: StageRecord, *, until: datetime, now: datetime
) -> StageRecord:
    """Soak a stage once more after a person held it; once per round."""
    with store.begin() as session:
        cutover = lock_in(session, held.cutover_id)
        row = _stage_row(session, held.cutover_id, held.key)
        # another round means that somebody already held it; this call is a repetition
        if row.round == held.round:
            row.round, row.rechecks, row.soak_until = held.round + 1, 0, until
            row.status = StageStatus.SOAKING
            data = {"stage": held.key, "round": row.round, "soak_until": until.isoformat()}
            note_in(session, cutover, "stage.held", data, now=now)
        return to_record(StageRecord, row)


def wait_for_approval(store: Store, cutover_id: int, key: str) -> StageRecord:
    """Note that people are asked about a stage."""
    with store.begin() as session:
        lock_in(session, cutover_id)
        row = _stage_row(session, cutover_id, key)
        # a decision may have come meanwhile, and it stands
        if row.status == StageStatus.SOAKING:
            row.status = StageStatus.WAITING
        return to_record(StageRecord, row)


def decide(
    store: Store, cutover_id: int, key: str, *, status: StageStatus, reason: str, now: datetime
) -> StageRecord:
    """Close a stage as promoted or rolled back; the first decision stands."""
    with store.begin() as session:
        cutover = lock_in(session, cutover_id)
        row = decide_in(session, cutover, key, (status, reason), now=now)
        return to_record(StageRecord, row)


def decide_in(
    session: Session, cutover: CutoverRow, key: str, decision: tuple[StageStatus, str], *,
    now: datetime,
) -> StageRow:
    """Close a stage with (status, reason) within the caller's transaction, as `decide` does."""
    row, (status, reason) = _stage_row(session, cutover.id, key), decision
    # a rollback may have closed it already, and that decision stands
    if row.status in (StageStatus.SOAKING, StageStatus.WAITING):
        row.status, row.reason, row.decided_at = status, reason, now
        note_in(session, cutover, f"stage.{status}", {"stage": key, "reason": reason}, now=now)
    return row


def _close_open(session: Session, cutover: CutoverRow, reason: str, now: datetime) -> None:
    keys = session.scalars(select(StageRow.key).where(
        StageRow.cutover_id == cutover.id, StageRow.decided_at.is_(None)))
    # what was promoted before stays so: the report tells how far it came
    for key in keys.all():
        decide_in(session, cutover, key, (StageStatus.ROLLED_BACK, reason), now=now)


def _first(store: Store, migration: str, *conditions: Any) -> Cutover | None:
    query = (
        select(CutoverRow)
        .where(CutoverRow.migration == migration, *conditions)
        .order_by(CutoverRow.id.desc())
    )
    return first_record(store, Cutover, query)


def _refuse_second(session: Session, migration: str) -> None:
    other = session.scalar(
        select(CutoverRow).where(
            CutoverRow.migration == migration, CutoverRow.status == CutoverStatus.RUNNING
        )
    )
    if other is not None:
        raise CutoverActive(
            f"not started because cutover {other.id} of {migration} has not ended "
            f"(flow run {other.flow_run_id}, since {other.started_at:%Y-%m-%d %H:%M:%S} UTC)",
            next_step="Approve it to its end, or end it with `changeover rollback`",
        )


def _refuse_mode(migration: str, mode: Mode) -> None:
    if mode in ROLLED_BACK:
        raise Refused(
            f"not started because {migration} is rolled back",
            next_step="When the cause is mended, run `changeover recover` and start again",
        )
    if mode is Mode.CANDIDATE_ONLY:
        raise Refused(
            f"not started because the candidate answers everyone of {migration} already",
            next_step="`deprecation/main` retires the baseline",
        )


def _carried(session: Session, row: CutoverRow, flow: str, now: datetime) -> None:
    """Note that the row's run carries the cutover."""
    if row.flow_run_id is not None:
        carriers.assign_in(session, Carrier(
            row.migration, subject(row.id), flow, row.flow_run_id, since=now))


def note_in(
    session: Session, cutover: CutoverRow, kind: str, data: dict[str, Any], *, now: datetime,
    actor: str | None = None,
) -> None:
    """Add an audit event of a cutover, by itself or by a person, in the caller's transaction."""
    audit.append(session, cutover.migration, NewEvent(
        actor=actor or f"cutover {cutover.id}", kind=kind, at=now,
        data={"cutover": cutover.id, **data}))


def _row(session: Session, cutover_id: int) -> CutoverRow:
    row = session.get(CutoverRow, cutover_id)
    if row is None:
        raise InvalidInput(f"no cutover {cutover_id}", next_step="See `changeover history`")
    return row


def lock_in(session: Session, cutover_id: int) -> CutoverRow:
    """Return the cutover's row, locked until the transaction ends: one writer at a time."""
    query = select(CutoverRow).where(CutoverRow.id == cutover_id).with_for_update()
    row = session.scalar(query)
    # `_row` is called only to raise: there is no such cutover
    return row if row is not None else _row(session, cutover_id)


def _stage_row(session: Session, cutover_id: int, key: str) -> StageRow:
    row = session.get(StageRow, (cutover_id, key))
    if row is None:
        raise InvalidInput(f"stage {key} of cutover {cutover_id} was never entered")
    return row
