"""The flags of all environments, with the newest change of each, in few queries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from changeover.flags.state import FlagState
from changeover.store.engine import Store
from changeover.store.flags import FlagChangeRow, FlagRow, state_of

Newest = tuple[datetime, str, str]
"""When, who, why."""


def states(store: Store, migration: str) -> list[FlagState]:
    """Return each environment's own flags; what one inherits stands once."""
    query = select(FlagRow).filter_by(migration=migration)
    with store.read() as session:
        # a row without a value is a flag that its environment does without
        return [state_of(row) for row in session.scalars(query) if row.value is not None]


def newest(store: Store, migration: str) -> dict[tuple[str, str], Newest]:
    """Return the newest change of each flag, by (environment, name)."""
    last = select(func.max(FlagChangeRow.id)).where(
        FlagChangeRow.migration == migration
    ).group_by(FlagChangeRow.environment, FlagChangeRow.name)
    query = select(
        FlagChangeRow.environment, FlagChangeRow.name, FlagChangeRow.at, FlagChangeRow.actor,
        FlagChangeRow.reason).where(FlagChangeRow.id.in_(last))
    with store.read() as session:
        found = session.execute(query)
        return {(environment, name): (at, actor, reason)
                for environment, name, at, actor, reason in found}
