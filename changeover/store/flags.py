"""Flags in the store: their values, where they come from, and every change of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.sop_tables import FlagChangeRow, FlagRow

BASE = ""
"""Name of the environment of plans that have none."""


def values(store: Store, migration: str, environment: str = BASE) -> dict[str, Any]:
    """Return the value of every flag."""
    query = select(FlagRow).filter_by(migration=migration, environment=environment)
    with store.read() as session:
        return {row.name: row.value for row in session.scalars(query.order_by(FlagRow.name))}


def drift(store: Store, migration: str, environment: str = BASE) -> dict[str, tuple[Any, Any]]:
    """Return (what the plan says, what holds) for each flag that was changed since."""
    query = select(FlagRow).filter_by(migration=migration, environment=environment)
    with store.read() as session:
        return {row.name: (row.plan_value, row.value) for row in session.scalars(query)
                if not _same(row.value, row.plan_value)}


def follow_plan(
    store: Store, migration: str, wanted: Mapping[str, Any], *, now: datetime,
    environment: str = BASE,
) -> None:
    """Take the plan's flags; one that was changed by hand keeps its value and shows as drift."""
    with store.begin() as session:
        audit.lock(session, migration)
        for name, value in wanted.items():
            row = session.get(FlagRow, (migration, environment, name))
            if row is None:
                session.add(FlagRow(
                    migration=migration, environment=environment, name=name, value=value,
                    plan_value=value, version=1, changed_at=now, changed_by="plan"))
            elif _same(row.value, row.plan_value) and not _same(row.value, value):
                row.plan_value = value
                _change(session, row, value, actor="plan", reason="the plan changed", now=now)
            else:
                row.plan_value = value


def set_values(
    store: Store, migration: str, wanted: Mapping[str, Any], *, actor: str, reason: str,
    now: datetime, environment: str = BASE,
) -> list[str]:
    """Set flags, all or none, and return the names of those that changed; audited once.

    Args:
        store: The store.
        migration: Name of the migration.
        wanted: Values by name.
        actor: Who or what decided.
        reason: Why.
        now: The present moment.
        environment: Whose flags.
    """
    changed = []
    with store.begin() as session:
        audit.lock(session, migration)
        for name, value in wanted.items():
            row = session.get(FlagRow, (migration, environment, name))
            if row is None:
                row = FlagRow(migration=migration, environment=environment, name=name, value=None,
                              plan_value=None, version=0, changed_at=now, changed_by=actor)
                session.add(row)
            if row.version == 0 or not _same(row.value, value):
                _change(session, row, value, actor=actor, reason=reason, now=now)
                changed.append(name)
        if changed:
            audit.append(session, migration, actor=actor, kind="flags.set", now=now,
                         data={"flags": {n: wanted[n] for n in changed}, "reason": reason})
    return changed


def history(store: Store, migration: str, name: str) -> list[dict[str, Any]]:
    """Return a flag's changes, oldest first: at, actor, reason, old, new."""
    query = select(FlagChangeRow).filter_by(migration=migration, name=name)
    with store.read() as session:
        return [
            {"at": row.at, "actor": row.actor, "reason": row.reason, "old": row.old,
             "new": row.new, "environment": row.environment}
            for row in session.scalars(query.order_by(FlagChangeRow.id))
        ]


def _change(
    session: Session, row: FlagRow, value: Any, *, actor: str, reason: str, now: datetime
) -> None:
    session.add(FlagChangeRow(
        migration=row.migration, environment=row.environment, name=row.name, old=row.value,
        new=value, at=now, actor=actor, reason=reason))
    row.value, row.version = value, row.version + 1
    row.changed_at, row.changed_by = now, actor


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
