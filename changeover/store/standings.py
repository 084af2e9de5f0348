"""How a stage's gates stand while it soaks: what each would say now. Replaced again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.rollout import Standing
from changeover.store import courses
from changeover.store.base import Base, to_record
from changeover.store.engine import Store
from changeover.store.upserts import replace_in


class StandingRow(Base):
    """What a gate of a stage would say now, with the evidence of its checks."""

    __tablename__ = "gate_standing"
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(64), primary_key=True)
    gate: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str]
    evidence: Mapped[list[dict[str, Any]]]


KEY = ("cutover_id", "stage", "gate")


def save(store: Store, standing: Standing, *, apart: timedelta | None = None) -> None:
    """Save how a gate stands, in the place of what was known before.

    Args:
        store: The store.
        standing: How it stands.
        apart: Keep it also in the gate's course, whose moments are so far apart; None: do not.
    """
    values = {
        "cutover_id": standing.cutover_id, "stage": standing.stage, "gate": standing.gate,
        "at": standing.at, "verdict": str(standing.verdict), "reason": standing.reason,
        "evidence": standing.evidence,
    }
    # replaced within seconds: it need not survive a power failure
    with store.begin(is_durable=False) as session:
        replace_in(session, StandingRow, [values], KEY)
        if apart is not None:
            courses.add_in(session, standing, apart)


def of_stage(store: Store, cutover_id: int, stage: str) -> list[Standing]:
    """Return how the gates of a stage stand, by name."""
    query = select(StandingRow).where(
        StandingRow.cutover_id == cutover_id, StandingRow.stage == stage
    ).order_by(StandingRow.gate)
    with store.read() as session:
        return [to_record(Standing, row) for row in session.scalars(query)]
