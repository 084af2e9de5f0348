"""Instructions of people to a running cutover, and what each does to its stages.

Each takes effect in the one transaction that stores and audits it: killed at any line, it was given
or it was not. Given again by the same person for the same reason, it stays one instruction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain import instructions
from changeover.domain.approvers import RETIRE, Rules, rules_of, to_amend
from changeover.domain.instructions import Instruction, InstructionKind, people
from changeover.domain.rollout import CutoverStatus, StageStatus
from changeover.domain.tokens import ApproverToken
from changeover.errors import ApprovalRefused, Refused, StaleEpoch
from changeover.plan.model import Stage
from changeover.plan.people import person
from changeover.store import admission, cutovers, freezes, plans
from changeover.store.admission import Said
from changeover.store.base import Base, RowId, all_records, to_record, to_row
from changeover.store.cutovers import CutoverRow, StageRow
from changeover.store.engine import Store
from changeover.store.routing import RoutingRow, lock_epoch


class InstructionRow(Base):
    """One instruction."""

    __tablename__ = "instruction"
    id: Mapped[RowId]
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str]
    at: Mapped[datetime]
    stage: Mapped[str] = mapped_column(String(64))
    round: Mapped[int]
    seconds: Mapped[int]


def all_of(store: Store, cutover_id: int) -> list[Instruction]:
    """Return every instruction of a cutover, oldest first."""
    return all_records(store, Instruction, _query(cutover_id))


def pause(store: Store, given: Instruction) -> Instruction:
    """Pause a cutover; while it is paused, the first pause stands.

    Raises:
        Refused: It does not run, or a rollback came first.
    """
    with store.begin() as session:
        cutover = _running(session, given.cutover_id)
        known = instructions.open_pause(all_in(session, cutover.id))
        # asked twice, the pause began with the first: what was left of the soak is counted from it
        return known or save_in(session, cutover, given)


def resume(store: Store, given: Instruction) -> Instruction:
    """End a pause; what was left of a soak when it began is still left.

    Said again by the person who ended it, for the same reason, it is the same instruction.

    Raises:
        Refused: The cutover is not paused, or does not run, or a rollback came first.
    """
    with store.begin() as session:
        cutover = _running(session, given.cutover_id)
        all_given = all_in(session, cutover.id)
        paused = instructions.open_pause(all_given)
        if paused is None:
            known = instructions.last_resume(all_given)
            if known is not None and instructions.is_same(known, given):
                return known
            raise Refused(f"nothing was changed because cutover {cutover.id} is not paused")
        for row in _open_stages(session, cutover.id):
            # a stage that was entered during the pause has waited only since then
            since = max(paused.at, row.entered_at)
            if row.soak_until > since:
                row.soak_until += given.at - since
        return save_in(session, cutover, given)


def extend(store: Store, given: Instruction) -> Instruction:
    """Let the stage that soaks now soak longer.

    The same person's same reason and duration for the same soak count once.

    Raises:
        Refused: The stage does not soak now, the same words were about another soak, or a rollback
            came first.
    """
    with store.begin() as session:
        cutover = _running(session, given.cutover_id)
        row = _soaking(session, given)
        known = _said_before(session, given)
        if known is not None:
            return known
        # a soak that is over already grows from now, not from its end in the past
        row.soak_until = max(row.soak_until, given.at) + timedelta(seconds=given.seconds)
        return save_in(session, cutover, given, soak_until=row.soak_until.isoformat())


def promote_now(
    store: Store, given: Instruction, stage: Stage, proof: ApproverToken | bool | None = None
) -> list[str]:
    """Agree that a stage's soak is over; it is once enough people have, and return who has.

    The gate is judged then as at any soak's end: a failed check still rolls back.

    Raises:
        Refused: The stage does not soak now, the same words were about another soak, or a rollback
            came first.
        ApprovalRefused: By the plan this person's word does not count.
    """
    with store.begin() as session:
        cutover = _running(session, given.cutover_id)
        row = _soaking(session, given)
        _said_before(session, given)
        refused = _not_admitted(session, cutover, given, stage.key, proof=proof)
        rules = rules_in(session, cutover, stage.key)
        agreed = [] if refused else _agree(session, cutover, given, rules)
        if len(agreed) >= enough_in(session, cutover, stage):
            # a soak that is over already keeps its end
            row.soak_until = min(row.soak_until, given.at)
    if refused:
        raise refused
    return agreed


def skip(
    store: Store, given: Instruction, proof: ApproverToken | bool | None = None
) -> list[str]:
    """Agree that a later stage is left out; return who has.

    Raises:
        Refused: The stage was entered already, or a rollback came first.
        ApprovalRefused: By the plan this person's word does not count.
    """
    with store.begin() as session:
        cutover = _running(session, given.cutover_id)
        row = session.get(StageRow, (cutover.id, given.stage))
        # skipped before is no contradiction: another person may agree to it
        if row is not None and row.status != StageStatus.SKIPPED:
            raise Refused(
                f"stage {given.stage} was not skipped because it was entered already",
                next_step="`changeover promote-now` ends the soak of the present stage")
        refused = _not_admitted(session, cutover, given, given.stage, proof=proof)
        rules = rules_in(session, cutover, given.stage)
        agreed = [] if refused else _agree(session, cutover, given, rules)
    if refused:
        raise refused
    return agreed


def promote(store: Store, cutover_id: int, key: str, *, reason: str, now: datetime) -> bool:
    """Close a stage as promoted, unless the cutover is paused or frozen; return whether it is.

    Raises:
        StaleEpoch: A rollback came first; the stage is not promoted.
    """
    with store.begin() as session:
        cutover = cutovers.lock_in(session, cutover_id)
        lock_epoch(session, cutover.migration, cutover.epoch)
        # asked under the cutover's lock: a pause comes before the promotion or after it
        is_frozen = freezes.active_in(session, cutover.migration, now) is not None
        if is_frozen or instructions.open_pause(all_in(session, cutover_id)) is not None:
            return False
        decision = StageStatus.PROMOTED, reason
        cutovers.decide_in(session, cutover, key, decision, now=now)
        return True


def amend(
    store: Store, given: Instruction, new: plans.NewPlan, *, needed: int,
    token: ApproverToken | None = None,
) -> list[str]:
    """Agree to another plan for a running cutover; it counts once enough people have.

    An agreement is to the change from the plan in force: after any amendment all are asked anew.
    Returns who has agreed.

    Raises:
        Refused: The cutover has ended, another plan is in force than this one replaces, or a stage
            was entered since they were compared.
        ApprovalRefused: By the plan in force this person's word does not count.
        StaleEpoch: A rollback came first.
    """
    with store.begin() as session:
        # agreements count for this very plan: `given.stage` is its digest
        cutover = _running(session, given.cutover_id)
        _refuse_entered_since(session, cutover.id, new)
        times = plans.times_amended_in(session, cutover.migration)
        present = new.entered[-1] if new.entered else ""
        rules = to_amend(plans.plan_in(session, cutover.migration), new.plan, present)
        who = Said(
            cutover.migration, present, given.actor, token=token, texts=(given.reason,),
            rules=rules)
        refused = admission.refusal_in(
            session, who, starters_in(session, cutover.id), now=given.at)
        said = replace(given, round=times)
        agreed = [] if refused else _agree(session, cutover, said, rules)
        if len(agreed) >= needed:
            plans.replace_in(session, new, agreed, now=given.at)
    if refused:
        raise refused
    return agreed


def _refuse_entered_since(session: Session, cutover_id: int, new: plans.NewPlan) -> None:
    query = select(StageRow.key).where(StageRow.cutover_id == cutover_id)
    for key in session.scalars(query.order_by(StageRow.index)):
        if key not in new.entered:
            raise Refused(
                f"the plan was not amended because stage {key} was entered meanwhile",
                next_step="Look at the changes again")


def needed(stage: Stage) -> int:
    """Return how many people must agree about a stage."""
    return max(1, stage.approvers)


def enough(store: Store, cutover_id: int, stage: Stage | None) -> int:
    """Return how many people must agree about a stage of this cutover; None: before the first one.

    If the plan wants four eyes and nobody knows who started it, two must.
    """
    with store.read() as session:
        row = session.get_one(CutoverRow, cutover_id)
        return enough_in(session, row, stage)


def enough_in(session: Session, cutover: CutoverRow, stage: Stage | None) -> int:
    """Return the same within the caller's transaction."""
    rules = rules_in(session, cutover, stage.key if stage else "")
    least = needed(stage) if stage else 1
    return max(least, rules.needed_with(starters_in(session, cutover.id)))


def rules_in(session: Session, cutover: CutoverRow, subject: str) -> Rules:
    """Return who may answer a question by the plan in force, within the caller's transaction."""
    return rules_of(plans.plan_in(session, cutover.migration), subject)


def part_of(subject: str, flow_run_id: str) -> str:
    """Return what of a cutover was started that a question is about; empty: the cutover itself.

    Each run of the retirement is started anew.
    """
    return f"{subject} {flow_run_id}" if subject == RETIRE else ""


def starters_in(
    session: Session, cutover_id: int, subject: str = "", flow_run_id: str = ""
) -> list[str]:
    """Return who started what a question is about, within the caller's transaction."""
    part = part_of(subject, flow_run_id)
    return people(all_in(session, cutover_id), InstructionKind.START, part)


def _not_admitted(
    session: Session, cutover: CutoverRow, given: Instruction, subject: str,
    *, proof: ApproverToken | bool | None,
) -> ApprovalRefused | None:
    """Return why this person's word does not count by the plan, audited; None when it does."""
    token = proof if isinstance(proof, ApproverToken) else None
    said = Said(
        cutover.migration, subject, given.actor, token=token, texts=(given.reason,),
        is_proven=proof is True)
    return admission.refusal_in(session, said, starters_in(session, cutover.id), now=given.at)


def _query(cutover_id: int):  # type: ignore[no-untyped-def]
    return select(InstructionRow).filter_by(cutover_id=cutover_id).order_by(InstructionRow.id)


def all_in(session: Session, cutover_id: int) -> list[Instruction]:
    """Return every instruction of a cutover, oldest first, within the caller's transaction."""
    return [to_record(Instruction, row) for row in session.scalars(_query(cutover_id))]


def _running(session: Session, cutover_id: int) -> CutoverRow:
    """Return the cutover's row, locked.

    Raises:
        Refused: It has ended.
        StaleEpoch: A rollback came first.
    """
    row = cutovers.lock_in(session, cutover_id)
    if row.status != CutoverStatus.RUNNING:
        raise Refused(f"nothing was changed because cutover {row.id} is {row.status}")
    # a rollback raises the epoch before it closes the cutover: nothing is told to it in between
    state = session.get(RoutingRow, row.migration)
    if state is None or state.epoch != row.epoch:
        raise StaleEpoch("nothing was changed because a rollback came first",
                         next_step="See `changeover status`")
    return row


def _open_stages(session: Session, cutover_id: int) -> list[StageRow]:
    query = select(StageRow).where(
        StageRow.cutover_id == cutover_id, StageRow.decided_at.is_(None))
    return list(session.scalars(query))


def _soaking(session: Session, given: Instruction) -> StageRow:
    """Return the row of the stage that is meant.

    Raises:
        Refused: It does not soak (any more), or another round of it does.
    """
    row = session.get(StageRow, (given.cutover_id, given.stage))
    if row is None or row.status != StageStatus.SOAKING or row.round != given.round:
        stands = "is over" if row is None else f"is {row.status}"
        raise Refused(
            f"nothing was changed because the soak of stage {given.stage} {stands}",
            next_step="See `changeover status`; what waits for approval is answered with "
            "`changeover approve`")
    return row


def _agree(
    session: Session, cutover: CutoverRow, given: Instruction, rules: Rules
) -> list[str]:
    """Store a person's agreement, each person's once; return who has agreed and still may."""
    def agreed() -> list[str]:
        return instructions.people(
            all_in(session, cutover.id), given.kind, given.stage, given.round)

    # the same person in another spelling is still one
    known = {person(name) for name in agreed()}
    if person(given.actor) not in known:
        save_in(session, cutover, given)
    return rules.counting(agreed())


def _said_before(session: Session, given: Instruction) -> Instruction | None:
    """Return the same words of the same person about the same soak; None when they are new.

    Raises:
        Refused: They were about an earlier soak. Perhaps a command that was killed is given again,
            and the soak that it meant is over by now.
    """
    known = instructions.said_before(given, all_in(session, given.cutover_id))
    if known is not None and (known.stage, known.round) != (given.stage, given.round):
        raise Refused(
            f"nothing was changed because {known.actor} gave this instruction for the same reason "
            f"at {known.at:%F %T} UTC, when {known.stage} soaked",
            next_step=f"If you mean {given.stage}, too, give another reason")
    return known


def save_in(
    session: Session, cutover: CutoverRow, given: Instruction, **data: str
) -> Instruction:
    """Store an instruction and audit it, within the caller's transaction."""
    row = to_row(InstructionRow, given)
    session.add(row)
    session.flush()
    about = {"stage": given.stage} if given.stage else {}
    by = {"seconds": given.seconds} if given.seconds else {}
    cutovers.note_in(
        session, cutover, f"cutover.{given.kind}", {**about, **by, "reason": given.reason, **data},
        now=given.at, actor=given.actor)
    return to_record(Instruction, row)
