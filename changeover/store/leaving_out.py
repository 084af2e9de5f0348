"""Stages that are left out: because enough people said so, or by beginning with a later one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from changeover.domain.instructions import InstructionKind, described, people
from changeover.domain.rollout import StageStatus
from changeover.plan.model import Stage
from changeover.store import approvals, cutovers, instructions
from changeover.store.cutovers import CutoverRow, StageRow
from changeover.store.engine import Store
from changeover.store.routing import lock_epoch


def pass_over(
    store: Store, cutover_id: int, stages: Sequence[Stage], *, reason: str, now: datetime
) -> None:
    """Close stages as skipped that were never entered, all of them or none.

    Raises:
        StaleEpoch: A rollback came first.
    """
    with store.begin() as session:
        cutover = cutovers.lock_in(session, cutover_id)
        # after the cutover and before the audit, as everybody locks them
        lock_epoch(session, cutover.migration, cutover.epoch)
        for stage in stages:
            if session.get(StageRow, (cutover_id, stage.key)) is None:
                _skipped(session, cutover, stage, reason, now=now)


def leave_out(store: Store, cutover_id: int, stage: Stage, *, now: datetime) -> bool:
    """Close a stage as skipped when enough people said so; return whether it is.

    Raises:
        StaleEpoch: A rollback came first.
    """
    with store.begin() as session:
        cutover = cutovers.lock_in(session, cutover_id)
        row = session.get(StageRow, (cutover_id, stage.key))
        # decided once: a decision to skip that comes later changes nothing
        if row is not None and row.decided_at is not None:
            return row.status == StageStatus.SKIPPED
        given = instructions.all_in(session, cutover_id)
        said = people(given, InstructionKind.SKIP, stage.key)
        agreed = instructions.rules_in(session, cutover, stage.key).counting(said)
        if len(agreed) < instructions.enough_in(session, cutover, stage):
            return False
        lock_epoch(session, cutover.migration, cutover.epoch)
        why = described(given, InstructionKind.SKIP, stage.key)
        _skipped(session, cutover, stage, f"skipped by {why}", now=now)
        # what was asked before its first user moved is not asked any more
        approvals.withdraw_in(session, cutover, stage.key, now=now)
        return True


def _skipped(
    session: Session, cutover: CutoverRow, stage: Stage, reason: str, *, now: datetime
) -> None:
    """Close a stage as skipped, entered or not."""
    # a stage that is left out has a row, too, so that history and report can show it
    row = session.get(StageRow, (cutover.id, stage.key))
    if row is None:
        row = StageRow(
            cutover_id=cutover.id, key=stage.key, index=stage.index, entered_at=now,
            soak_until=now, round=1, rechecks=0, reason="", status=StageStatus.SKIPPED)
        session.add(row)
    row.status, row.decided_at, row.reason = StageStatus.SKIPPED, now, reason
    cutovers.note_in(
        session, cutover, "stage.skipped", {"stage": stage.key, "reason": reason}, now=now)
