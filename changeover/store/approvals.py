"""Questions to people and their answers. What the row says counts, whatever Prefect thinks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
    and_,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.rollout import ANSWERS, Approval, CutoverStatus, StageAction
from changeover.errors import ApprovalRefused, InvalidInput
from changeover.store import audit
from changeover.store.base import Base, Id, to_record
from changeover.store.carriers import CarrierRow
from changeover.store.cutovers import CutoverRow
from changeover.store.engine import Store


class ApprovalRow(Base):
    """One question to one approver."""

    __tablename__ = "approval"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"))
    stage: Mapped[str] = mapped_column(String(64))
    round: Mapped[int] = mapped_column(Integer)
    ordinal: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[int] = mapped_column(Integer)
    question: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    decision: Mapped[str | None] = mapped_column(String(20))
    approver: Mapped[str | None] = mapped_column(String(200))
    comment: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(40))
    answered_at: Mapped[datetime | None]
    is_void: Mapped[bool] = mapped_column(Boolean)
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        UniqueConstraint("cutover_id", "stage", "round", "ordinal", name="uq_approval"),
    )




def ask(
    store: Store,
    *,
    cutover_id: int,
    stage: str,
    round: int,
    ordinal: int,
    epoch: int,
    question: str,
    now: datetime,
    flow_run_id: str | None = None,
) -> Approval:
    """Put a question to the `ordinal`-th approver; asked twice, the first question stands.

    `flow_run_id` is the run that waits for the answer now.
    """
    key = {"cutover_id": cutover_id, "stage": stage, "round": round, "ordinal": ordinal}
    with store.begin() as session:
        cutover = _lock(session, cutover_id)
        row = session.scalar(select(ApprovalRow).filter_by(**key))
        if row is None:
            row = ApprovalRow(
                **key, epoch=epoch, question=question, asked_at=now, comment="", source="",
                is_void=False,
            )
            session.add(row)
            session.flush()
            audit.append(session, cutover.migration, NewEvent(
                actor=f"cutover {cutover_id}", kind="approval.asked", at=now,
                data={"approval": row.id, "stage": stage, "ordinal": ordinal}))
        row.flow_run_id = flow_run_id or row.flow_run_id
        return to_record(Approval, row)


def answer(
    store: Store,
    approval_id: int,
    *,
    decision: StageAction,
    approver: str,
    comment: str,
    source: str,
    epoch: int,
    now: datetime,
) -> Approval:
    """Keep a person's answer; the first one stands, and the same one again is fine.

    Args:
        store: The store.
        approval_id: The question.
        decision: `promote`, `hold` or `rollback`.
        approver: Who.
        comment: Why; may be empty.
        source: `prefect` or `cli`.
        epoch: The routing state's present epoch.
        now: The present moment.

    Raises:
        InvalidInput: An unknown decision, or no such question.
        ApprovalRefused: A rollback came first (kept as void), someone answered differently
            before, or the same person agreed already and another one is needed.
    """
    if decision not in ANSWERS:
        raise InvalidInput(f"decision {decision} is unknown", allowed=", ".join(ANSWERS))
    with store.begin() as session:
        row = session.get(ApprovalRow, approval_id)
        if row is None:
            raise InvalidInput(f"no approval {approval_id}")
        cutover = _lock(session, row.cutover_id)
        session.refresh(row)
        refusal = _refusal(session, row, cutover, decision, approver, epoch)
        is_new = row.decision is None and not row.is_void
        if is_new and (refusal is None or row.epoch != epoch):
            row.decision, row.approver, row.comment = decision, approver, comment
            row.source, row.answered_at, row.is_void = source, now, row.epoch != epoch
            audit.append(session, cutover.migration, NewEvent(
                actor=approver,
                kind="approval.void" if row.is_void else "approval.answered",
                at=now,
                data={"approval": row.id, "stage": row.stage, "decision": decision,
                      "comment": comment, "source": source}))
        answered = to_record(Approval, row)
    if refusal is not None:
        raise refusal
    return answered


def open_for(store: Store, migration: str) -> Approval | None:
    """Return the question that waits for a person, if there is one.

    The running cutover's, or after a promotion the one about retiring the baseline.
    """
    query = (
        select(ApprovalRow)
        .join(CutoverRow, CutoverRow.id == ApprovalRow.cutover_id)
        .where(
            CutoverRow.migration == migration,
            or_(CutoverRow.status == CutoverStatus.RUNNING,
                and_(CutoverRow.status == CutoverStatus.PROMOTED,
                     ApprovalRow.flow_run_id.in_(select(CarrierRow.flow_run_id).where(
                         CarrierRow.migration == migration)))),
            # of an earlier cutover nobody is asked any more
            CutoverRow.id == select(func.max(CutoverRow.id)).where(
                CutoverRow.migration == migration).scalar_subquery(),
            ApprovalRow.decision.is_(None),
            ApprovalRow.is_void.is_(False),
        )
        .order_by(ApprovalRow.id.desc())
        .limit(1)
    )
    with store.read() as session:
        row = session.scalar(query)
        return to_record(Approval, row) if row else None


def waits_for(store: Store, migration: str, flow_run_id: str) -> bool:
    """Whether a question waits for the answer that this flow run's form brings."""
    query = (
        select(ApprovalRow.id).join(CutoverRow, CutoverRow.id == ApprovalRow.cutover_id)
        .where(CutoverRow.migration == migration, ApprovalRow.flow_run_id == flow_run_id,
               ApprovalRow.decision.is_(None), ApprovalRow.is_void.is_(False))
        .limit(1)
    )
    with store.read() as session:
        return session.scalar(query) is not None


def all_of(store: Store, cutover_id: int) -> list[Approval]:
    """Return every question of a cutover with its answer, in order."""
    query = (
        select(ApprovalRow).where(ApprovalRow.cutover_id == cutover_id).order_by(ApprovalRow.id)
    )
    with store.read() as session:
        return [to_record(Approval, row) for row in session.scalars(query)]


def _lock(session: Session, cutover_id: int) -> CutoverRow:
    row = session.scalar(select(CutoverRow).where(CutoverRow.id == cutover_id).with_for_update())
    if row is None:
        raise InvalidInput(f"no cutover {cutover_id}")
    return row


def _refusal(
    session: Session, row: ApprovalRow, cutover: CutoverRow, decision: StageAction, approver: str,
    epoch: int,
) -> ApprovalRefused | None:
    """Return why the answer cannot be taken, or None."""
    where = f"stage {row.stage} of {cutover.migration}"
    if row.epoch != epoch or row.is_void:
        return ApprovalRefused(
            "the approval changes nothing because a rollback came first", where=where,
            next_step="See `changeover history`; all users are at the baseline",
        )
    if row.decision is not None and (row.decision, row.approver) != (decision, approver):
        return ApprovalRefused(
            f"not taken because {row.approver} decided {row.decision} before", where=where
        )
    if row.decision is None and decision is StageAction.PROMOTE and _agreed(session, row, approver):
        return ApprovalRefused(
            f"not taken because {approver} agreed already and another person is needed",
            where=where, next_step="Ask a second person to approve",
        )
    return None


def _agreed(session: Session, row: ApprovalRow, approver: str) -> bool:
    others = session.scalars(
        select(ApprovalRow.approver).where(
            ApprovalRow.cutover_id == row.cutover_id,
            ApprovalRow.stage == row.stage,
            ApprovalRow.round == row.round,
            ApprovalRow.id != row.id,
            ApprovalRow.decision == StageAction.PROMOTE,
        )
    )
    wanted = " ".join(approver.split()).casefold()
    return any(" ".join((other or "").split()).casefold() == wanted for other in others)
