"""Questions to people and their answers. What the row says counts, whatever Prefect thinks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ForeignKey,
    String,
    UniqueConstraint,
    and_,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.approvers import rules_of, stage_of
from changeover.domain.audit import NewEvent
from changeover.domain.rollout import ANSWERS, Answer, Approval, CutoverStatus, StageAction
from changeover.domain.tokens import tokens_in
from changeover.errors import ApprovalRefused, InvalidInput
from changeover.plan.model import Plan
from changeover.plan.people import person
from changeover.store import admission, approver_codes, audit, cutovers, instructions, plans
from changeover.store.admission import Said
from changeover.store.base import Base, RowId, all_records, first_record, to_record, to_row
from changeover.store.carriers import CarrierRow
from changeover.store.cutovers import CutoverRow
from changeover.store.engine import Store


class ApprovalRow(Base):
    """One question to one approver."""

    __tablename__ = "approval"
    id: Mapped[RowId]
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"))
    stage: Mapped[str] = mapped_column(String(64))
    round: Mapped[int]
    ordinal: Mapped[int]
    epoch: Mapped[int]
    question: Mapped[str]
    asked_at: Mapped[datetime]
    decision: Mapped[str | None] = mapped_column(String(20))
    approver: Mapped[str | None] = mapped_column(String(200))
    comment: Mapped[str]
    source: Mapped[str] = mapped_column(String(40))
    answered_at: Mapped[datetime | None]
    is_void: Mapped[bool]
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        UniqueConstraint("cutover_id", "stage", "round", "ordinal", name="uq_approval"),
    )



def ask(store: Store, question: Approval) -> Approval:
    """Put a question to its approver; asked twice, the first question stands.

    Its `flow_run_id` is the run that waits for the answer from now on.
    """
    same = select(ApprovalRow).filter_by(
        cutover_id=question.cutover_id, stage=question.stage, round=question.round,
        ordinal=question.ordinal)
    with store.begin() as session:
        # locked before the question is looked up: two runs that ask at once ask one question
        cutover = cutovers.lock_in(session, question.cutover_id)
        row = session.scalar(same)
        if row is None:
            row = to_row(ApprovalRow, question)
            session.add(row)
            session.flush()
            audit.append(session, cutover.migration, NewEvent(
                actor=f"cutover {cutover.id}", kind="approval.asked", at=question.asked_at,
                data={"approval": row.id, "stage": row.stage, "ordinal": row.ordinal,
                      "cutover": cutover.id, "flow_run_id": question.flow_run_id}))
        # a run that replaces a killed one asks again: the answer then goes to the run that lives
        row.flow_run_id = question.flow_run_id or row.flow_run_id
        return to_record(Approval, row)


def answer(store: Store, approval_id: int, given: Answer, *, epoch: int, now: datetime) -> Approval:
    """Save a person's answer; the first one stands, and the same one again is fine.

    Args:
        store: The store.
        approval_id: The question.
        given: The answer.
        epoch: The routing state's present epoch.
        now: The present moment.

    Raises:
        InvalidInput: An unknown decision, or no such question.
        ApprovalRefused: A rollback came first (the answer is saved as void), someone answered
            before, another person is needed, or by the plan this person's answer does not count.
    """
    if given.decision not in ANSWERS:
        raise InvalidInput(f"decision {given.decision} is unknown", allowed=", ".join(ANSWERS))
    with store.begin() as session:
        row = session.get(ApprovalRow, approval_id)
        if row is None:
            raise InvalidInput(f"no approval {approval_id}")
        cutover = cutovers.lock_in(session, row.cutover_id)
        # read again: while we waited for the lock, somebody else may have answered
        session.refresh(row)
        is_late = row.epoch != epoch
        refusal = _refusal(session, cutover.migration, row, given, is_late=is_late)
        is_new = row.decision is None and not row.is_void
        # a late answer decides nothing, but the record shows what the person said
        if _has_token(given) or (is_new and (refusal is None or is_late)):
            denied = _denied(session, cutover, row, given, now=now)
            refusal = refusal or denied
            if denied is None and is_new:
                row.is_void = is_late
                _save(session, cutover.migration, row, given, now=now)
        answered = to_record(Approval, row)
    # raised only here: within the transaction it would undo what was saved of a late answer
    if refusal is not None:
        raise refusal
    return answered


def _has_token(given: Answer) -> bool:
    """Whether a token stands in an answer: it must not stay valid, however late the answer is."""
    return bool(tokens_in(f"{given.approver} {given.comment} {given.code}"))


def check(store: Store, approval_id: int, given: Answer, *, now: datetime) -> None:
    """Refuse an answer that would not count by the plan, before the form is touched.

    Who gives it has shown who they are, where the plan wants that.

    Raises:
        ApprovalRefused: It would not; that is audited.
    """
    with store.begin() as session:
        row = session.get_one(ApprovalRow, approval_id)
        cutover = cutovers.lock_in(session, row.cutover_id)
        refusal = None
        if row.decision is None:
            refusal = _denied(session, cutover, row, given, now=now, is_proven=True)
    if refusal is not None:
        raise refusal


def _denied(
    session: Session, cutover: CutoverRow, row: ApprovalRow, given: Answer, *, now: datetime,
    is_proven: bool = False,
) -> ApprovalRefused | None:
    """Return why this person's answer does not count by the plan, audited; None when it does."""
    said = Said(
        cutover.migration, row.stage, given.approver, given.decision,
        approver_codes.about(row.id, given.decision), given.code,
        texts=(given.comment,), once=f"refused-{row.id}-{given.form}" if given.form else "",
        is_proven=is_proven)
    asking = row.flow_run_id or ""
    starters = instructions.starters_in(session, cutover.id, row.stage, asking)
    return admission.refusal_in(session, said, starters, now=now)


def _save(
    session: Session, migration: str, row: ApprovalRow, given: Answer, *, now: datetime
) -> None:
    """Write an answer into its question's row and the audit."""
    row.decision, row.approver, row.answered_at = given.decision, given.approver, now
    row.comment, row.source = given.comment, given.source
    audit.append(session, migration, NewEvent(
        actor=given.approver,
        kind="approval.void" if row.is_void else "approval.answered",
        at=now,
        data={"approval": row.id, "stage": row.stage, "decision": given.decision,
              "comment": given.comment, "source": given.source}))


def withdraw_in(session: Session, cutover: CutoverRow, stage: str, *, now: datetime) -> None:
    """Ask nobody any more what was asked before a stage, within the caller's transaction."""
    plan = plans.plan_in(session, cutover.migration)
    query = select(ApprovalRow).where(
        ApprovalRow.cutover_id == cutover.id, ApprovalRow.decision.is_(None),
        ApprovalRow.is_void.is_(False))
    for row in session.scalars(query):
        if stage_of(plan, row.stage) == stage:
            row.is_void = True
            audit.append(session, cutover.migration, NewEvent(
                actor=f"cutover {cutover.id}", kind="approval.withdrawn", at=now,
                data={"approval": row.id, "stage": row.stage, "cutover": cutover.id}))


def open_for(store: Store, migration: str) -> Approval | None:
    """Return the question that waits for a person, if there is one.

    The running cutover's, or after a promotion the one about retiring the baseline.
    """
    newest = select(func.max(CutoverRow.id)).where(CutoverRow.migration == migration)
    carried = select(CarrierRow.flow_run_id).where(CarrierRow.migration == migration)
    is_running = CutoverRow.status == CutoverStatus.RUNNING
    # after a promotion only a retirement asks, and only while a run carries it out
    is_retiring = and_(
        CutoverRow.status == CutoverStatus.PROMOTED,
        ApprovalRow.flow_run_id.in_(carried))
    query = (
        select(ApprovalRow)
        .join(CutoverRow, CutoverRow.id == ApprovalRow.cutover_id)
        .where(
            CutoverRow.migration == migration,
            # of an earlier cutover nobody is asked any more
            CutoverRow.id == newest.scalar_subquery(),
            or_(is_running, is_retiring),
            ApprovalRow.decision.is_(None),
            ApprovalRow.is_void.is_(False),
        )
        .order_by(ApprovalRow.id.desc())
    )
    return first_record(store, Approval, query)


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
    return all_records(store, Approval, query)


def _refusal(
    session: Session, migration: str, row: ApprovalRow, given: Answer, *, is_late: bool
) -> ApprovalRefused | None:
    """Return why an answer is refused, or None."""
    where = f"stage {row.stage} of {migration}"
    # before all else: after a rollback no answer counts, not even the same one again
    if is_late or row.is_void:
        return ApprovalRefused(
            "the approval changes nothing because a rollback came first", where=where,
            next_step="See `changeover history`; all users are at the baseline",
        )
    # the same answer again is no contradiction: a form or a command may be sent twice
    if row.decision is not None and (row.decision, row.approver) != (
            given.decision, given.approver):
        return ApprovalRefused(
            f"not taken because {row.approver} decided {row.decision} before", where=where
        )
    is_promotion = row.decision is None and given.decision is StageAction.PROMOTE
    if is_promotion and _agreed(session, row, given.approver):
        return ApprovalRefused(
            f"not taken because {given.approver} agreed already and another person is needed",
            where=where, next_step="Ask a second person to approve",
        )
    return None


def agreed(store: Store, asked: Approval, plan: Plan) -> list[str]:
    """Return who has agreed to the same question and still may by the plan, in order."""
    names = [each.approver or "" for each in all_of(store, asked.cutover_id)
             if (each.stage, each.round) == (asked.stage, asked.round)
             and each.decision is StageAction.PROMOTE and not each.is_void]
    return rules_of(plan, asked.stage).counting(names)


def _agreed(session: Session, row: ApprovalRow, approver: str) -> bool:
    """Whether a person agreed to the same stage in the same round before."""
    others = session.scalars(
        select(ApprovalRow.approver).where(
            ApprovalRow.cutover_id == row.cutover_id,
            ApprovalRow.stage == row.stage,
            ApprovalRow.round == row.round,
            ApprovalRow.id != row.id,
            ApprovalRow.decision == StageAction.PROMOTE,
        )
    )
    # compared without capitals and blanks, or one person could agree as two
    return person(approver) in {person(other or "") for other in others}
