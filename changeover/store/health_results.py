"""What health checks found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.health import HealthResult
from changeover.store.base import Base, NameKey, all_records
from changeover.store.deleting import delete_oldest
from changeover.store.engine import Store
from changeover.store.upserts import replace_in

PRUNED_AT_ONCE = 1_000
"""Results that one transaction deletes: nobody else waits for long."""


class HealthRow(Base):
    """One result of one health check."""

    __tablename__ = "health_result"
    migration: Mapped[NameKey]
    at: Mapped[datetime] = mapped_column(primary_key=True)
    check: Mapped[str] = mapped_column("check_name", String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str]
    data: Mapped[dict[str, Any]]


def save(store: Store, results: Sequence[HealthResult]) -> None:
    """Keep the results of one health check."""
    if not results:
        return
    values = [{"migration": one.migration, "at": one.at, "check_name": one.check,
               "status": one.status, "detail": one.detail, "data": one.data} for one in results]
    with store.begin(is_durable=False) as session:
        # a check that is repeated within its moment replaces what it said
        replace_in(session, HealthRow.__table__, values, ("migration", "at", "check_name"))


def prune(store: Store, migration: str, *, before: datetime) -> int:
    """Forget results of health checks that are older; return how many."""
    old = (HealthRow.migration == migration, HealthRow.at < before)
    return delete_oldest(store, HealthRow, HealthRow.at, old, most=PRUNED_AT_ONCE)


def latest(store: Store, migration: str) -> list[HealthResult]:
    """Return the results of the newest health check."""
    # all results of one health check have the same time
    newest = (
        select(HealthRow.at).where(HealthRow.migration == migration)
        .order_by(HealthRow.at.desc()).limit(1).scalar_subquery()
    )
    query = select(HealthRow).where(HealthRow.migration == migration, HealthRow.at == newest)
    return all_records(store, HealthResult, query)


def since(store: Store, migration: str, *, since: datetime) -> list[HealthResult]:
    """Return the results of all health checks since a time, oldest first."""
    query = select(HealthRow).where(HealthRow.migration == migration, HealthRow.at >= since)
    return all_records(store, HealthResult, query.order_by(HealthRow.at))

