"""The course of gates while their stages soak; kept as long as their cutover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.courses import Moment, point_of
from changeover.domain.rollout import Standing
from changeover.store.base import Base, all_records
from changeover.store.cutovers import CutoverRow
from changeover.store.engine import Store


class CourseRow(Base):
    """How a gate stood at a moment: a small part of its standing, which is replaced."""

    __tablename__ = "gate_course"
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(64), primary_key=True)
    gate: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    verdict: Mapped[str] = mapped_column(String(20))
    checks: Mapped[list[dict[str, Any]]]


def add_in(session: Session, standing: Standing, apart: timedelta) -> None:
    """Keep a moment of a gate, unless the one before it is too near.

    Args:
        session: An open write transaction.
        standing: How the gate stands.
        apart: How far apart two moments are at least.
    """
    known = session.scalar(select(func.max(CourseRow.at)).where(
        CourseRow.cutover_id == standing.cutover_id, CourseRow.stage == standing.stage,
        CourseRow.gate == standing.gate))
    # a clock that was set back adds nothing until it has caught up
    if known is not None and standing.at - known < max(apart, timedelta(seconds=1)):
        return
    session.add(CourseRow(
        cutover_id=standing.cutover_id, stage=standing.stage, gate=standing.gate, at=standing.at,
        verdict=str(standing.verdict), checks=[point_of(each) for each in standing.evidence]))


def since(store: Store, migration: str, start: datetime) -> Sequence[Moment]:
    """Return how the gates of all of a migration's cutovers stood since a moment, in order."""
    query = select(CourseRow).join(CutoverRow, CutoverRow.id == CourseRow.cutover_id).where(
        CutoverRow.migration == migration, CourseRow.at >= start).order_by(CourseRow.at)
    return all_records(store, Moment, query)
