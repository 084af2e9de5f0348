"""How triggers stand: for people, and for the observer that goes on after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.rollbacks import TriggerStanding
from changeover.store.base import Base, all_records, to_row
from changeover.store.engine import Store


class TriggerStandingRow(Base):
    """How a trigger stands; replaced again and again."""

    __tablename__ = "trigger_standing"
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"), primary_key=True)
    trigger: Mapped[str] = mapped_column("trigger_name", String(64), primary_key=True)
    at: Mapped[datetime]
    stands: Mapped[str] = mapped_column(String(20))
    since: Mapped[datetime | None]
    value: Mapped[float | None]
    reason: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    state: Mapped[dict[str, Any]]


def save(store: Store, migration: str, standings: Sequence[TriggerStanding]) -> None:
    """Save how all triggers of a migration stand, in the place of what was known before."""
    # all or nothing, and soon replaced: a trigger that the plan has no more goes with it
    with store.begin(is_durable=False) as session:
        session.execute(delete(TriggerStandingRow).filter_by(migration=migration))
        session.add_all([to_row(TriggerStandingRow, each) for each in standings])


def all_of(store: Store, migration: str) -> list[TriggerStanding]:
    """Return how the triggers of a migration stand, by name."""
    query = select(TriggerStandingRow).filter_by(migration=migration).order_by(
        TriggerStandingRow.trigger)
    return all_records(store, TriggerStanding, query)
