"""Flags in the store: what holds for each, what the plan says, and every change of them.

A row of an environment stands instead of the one of all environments (`BASE`); what an environment
does not have it inherits. Values are kept in the plan's own form: a plain value, or a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, Integer, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.errors import FlagChanged, InvalidInput
from changeover.flags.by_hand import with_value
from changeover.flags.snapshot import Snapshot, etag_of, of_plan
from changeover.flags.state import FlagState, is_same
from changeover.plan import environments
from changeover.plan.flags import Entry, as_document, as_spec, from_document, plain_value
from changeover.plan.model import Plan
from changeover.store import audit, plans, routing
from changeover.store.base import Base, Id
from changeover.store.engine import Store
from changeover.store.plans import MigrationRow
from changeover.store.routing import RoutingRow


class FlagRow(Base):
    """A flag's value; `plan_value` is what the plan says, so that a change by hand shows."""

    __tablename__ = "flag"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    environment: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    plan_value: Mapped[Any] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(Integer)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(120))


class FlagChangeRow(Base):
    """One change of a flag: who, when, why, old and new."""

    __tablename__ = "flag_change"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    old: Mapped[Any] = mapped_column(JSON)
    new: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_flag_change", "migration", "environment", "name", "id"),)


BASE = ""
"""Name of the environment that all others inherit from, and of plans that have none."""
GONE: Any = None
"""What a row holds for a flag that the environment does not have."""


def read(store: Store, migration: str, environment: str = BASE) -> dict[str, FlagState]:
    """Return every flag of an environment, those that it inherits included."""
    with store.read() as session:
        return {name: _state(row) for name, row in _rows(session, migration, environment).items()
                if row.value is not GONE}


def values(store: Store, migration: str, environment: str = BASE) -> dict[str, Any]:
    """Return the value of every flag for those whom no rule fits."""
    return {name: plain_value(flag.entry)
            for name, flag in read(store, migration, environment).items()}


def drift(store: Store, migration: str, environment: str = BASE) -> dict[str, tuple[Any, Any]]:
    """Return (what the plan says, what holds) for each flag that was changed since."""
    with store.read() as session:
        return {name: (row.plan_value, row.value)
                for name, row in _rows(session, migration, environment).items()
                if not is_same(row.value, row.plan_value)}


def snapshot(store: Store, migration: str, environment: str = BASE) -> Snapshot:
    """Return plan, flags and routing together; never older than its etag says.

    Raises:
        InvalidInput: The migration is not registered.
    """
    with store.read() as session:
        # read before all that it marks: what changes in between is then found at the next look
        etag, changed_at = _marker(session, migration, environment)
    plan = plans.load(store, migration)
    state = routing.read(store, migration)
    with store.read() as session:
        rows = _rows(session, migration, environment)
    entries = {name: from_document(row.value) for name, row in rows.items()
               if row.value is not GONE}
    return of_plan(plan, state, entries, environment=environment, etag=etag, changed_at=changed_at)


def marker(store: Store, migration: str, environment: str = BASE) -> str:
    """Return what a snapshot's etag would be now; cheap enough to ask several times a second."""
    with store.read() as session:
        return _marker(session, migration, environment)[0]


def follow_plan(store: Store, plan: Plan, *, now: datetime) -> None:
    """Take the plan's flags; one that was changed by hand keeps its value and shows as drift.

    What the plan's environments say instead goes into their own rows. A flag that the plan has
    no more is removed, unless it was changed by hand.
    """
    documents = {name: as_document(entry) for name, entry in plan.flags.items()}
    with store.begin() as session:
        audit.lock(session, plan.migration)
        for environment, wanted in _wanted(plan, documents).items():
            known = _own_rows(session, plan.migration, environment)
            for name, document in wanted.items():
                _follow(session, plan.migration, environment, name, document,
                        known.pop(name, None), now)
            for name, row in known.items():
                if environment != BASE and name in documents:
                    _inherit(session, row, documents[name])
                elif name not in documents:
                    _leave(session, row, now)


def set_values(
    store: Store, migration: str, wanted: Mapping[str, Any], *, actor: str, reason: str,
    now: datetime, environment: str = BASE, may_mirror: bool = False,
    expected_epoch: int | None = None,
) -> list[str]:
    """Set flags for everyone, all or none, and return the names of those that changed.

    Rules of a flag end with it; `reset` brings back what the plan says. Audited once.

    Args:
        store: The store.
        migration: Name of the migration.
        wanted: Values by name.
        actor: Who or what decided.
        reason: Why.
        now: The present moment.
        environment: Whose flags.
        expected_epoch: The epoch in which this was decided; None sets them in any.
        may_mirror: Whether a flag that the plan has mirror the migration goes on doing so (or does
            so again) instead: in a rollback it shows the baseline by itself, and a value that was
            kept would still be told when users are on the candidate once more.

    A value of another kind than the flag's replaces the flag: a rollback is never held up by one.

    Raises:
        StaleEpoch: A rollback came since; nothing was set, and what it sets stays.
    """
    changed = []
    with store.begin() as session:
        if expected_epoch is not None:
            routing.hold_epoch(session, migration, expected_epoch)
        audit.lock(session, migration)
        rows = _rows(session, migration, environment)
        for name, value in wanted.items():
            row = rows.get(name)
            if may_mirror and row is not None and _mirrors(row.plan_value):
                document = row.plan_value
            else:
                document = as_document(_forced(name, row, value))
            if row is not None and is_same(row.value, document):
                continue
            _write(session, _own(session, row, migration, environment, name, now), document,
                   actor=actor, reason=reason, now=now)
            changed.append(name)
        if changed:
            audit.append(session, migration, NewEvent(
                actor=actor, kind="flags.set", at=now,
                data={"flags": {n: wanted[n] for n in changed}, "reason": reason,
                      "environment": environment}))
    return changed


def change(
    store: Store, migration: str, name: str, wish: Callable[[FlagState], Any], *, actor: str,
    reason: str, now: datetime, environment: str = BASE, expected_version: int | None = None,
) -> FlagState:
    """Change one flag by hand, in one transaction with its history and audit.

    Args:
        store: The store.
        migration: Name of the migration.
        name: The flag.
        wish: Returns the document that should hold, from the present state.
        actor: Who decided.
        reason: Why.
        now: The present moment.
        environment: Whose flag; one that is inherited becomes the environment's own.
        expected_version: The version that the actor saw; None takes any.

    Returns:
        The state that holds now.

    Raises:
        InvalidInput: There is no such flag, or the wish does not fit it.
        FlagChanged: Someone else changed the flag since `expected_version`.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        rows = _rows(session, migration, environment)
        row = rows.get(name)
        if row is None or row.value is GONE:
            known = ", ".join(sorted(n for n, r in rows.items() if r.value is not GONE))
            raise InvalidInput(f"there is no flag {name!r}", where=f"migration {migration}",
                               allowed=known or "none; the plan has no flags")
        if expected_version is not None and row.version != expected_version:
            raise FlagChanged(
                f"flag {name} was changed meanwhile by {row.changed_by}: it is at version "
                f"{row.version}, not {expected_version}", where=f"migration {migration}",
                next_step=f"Look at it with `changeover flags show {name}` and decide anew")
        present = _state(row)
        document = wish(present)
        if is_same(row.value, document):
            return present
        row = _own(session, row, migration, environment, name, now)
        _write(session, row, document, actor=actor, reason=reason, now=now)
        audit.append(session, migration, NewEvent(
            actor=actor, kind="flag.changed", at=now,
            data={"flag": name, "environment": environment, "old": present.document,
                  "new": document, "version": row.version, "reason": reason}))
        return _state(row)


def to_plan(flag: FlagState) -> Any:
    """Wish what the plan says, for `change`.

    Raises:
        InvalidInput: The plan says nothing.
    """
    if flag.plan_document is GONE:
        raise InvalidInput(f"the plan has no flag {flag.name}", next_step="Set it to a value")
    return flag.plan_document


def history(
    store: Store, migration: str, name: str, environment: str | None = None
) -> list[dict[str, Any]]:
    """Return a flag's changes, oldest first: at, actor, reason, old, new, environment."""
    query = select(FlagChangeRow).filter_by(migration=migration, name=name)
    if environment is not None:
        query = query.where(FlagChangeRow.environment.in_((BASE, environment)))
    with store.read() as session:
        return [
            {"at": row.at, "actor": row.actor, "reason": row.reason, "old": row.old,
             "new": row.new, "environment": row.environment}
            for row in session.scalars(query.order_by(FlagChangeRow.id))
        ]


def _mirrors(document: Any) -> bool:
    return document is not GONE and as_spec(from_document(document)).mirrors is not None


def _forced(name: str, row: FlagRow | None, value: Any) -> Entry:
    present = None if row is None or row.value is GONE else from_document(row.value)
    try:
        return with_value(name, present, value)
    except InvalidInput:
        return with_value(name, None, value)


def _wanted(plan: Plan, documents: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documents that each environment's own rows should hold.

    A plan that was loaded for an environment no longer says what the others would have.
    """
    overlays = {name: overlay.get("flags") or {} for name, overlay in plan.environments.items()}
    if plan.environment is None:
        return {BASE: documents, **{environment: _of_environment(documents, overlay)
                                    for environment, overlay in overlays.items()}}
    own = overlays.get(plan.environment, {})
    return {
        BASE: {name: document for name, document in documents.items() if name not in own},
        plan.environment: {name: documents.get(name, GONE) for name in own},
    }


def _of_environment(documents: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = environments.merge(documents, overlay)
    return {name: as_document(from_document(merged[name])) if name in merged else GONE
            for name in overlay}


def _follow(
    session: Session, migration: str, environment: str, name: str, document: Any,
    row: FlagRow | None, now: datetime,
) -> None:
    if row is None:
        row = FlagRow(migration=migration, environment=environment, name=name, value=GONE,
                      plan_value=document, version=0, changed_at=now, changed_by="plan")
        session.add(row)
        _write(session, row, document, actor="plan", reason="the plan's", now=now)
    elif is_same(row.value, row.plan_value) and not is_same(row.value, document):
        row.plan_value = document
        _write(session, row, document, actor="plan", reason="the plan changed", now=now)
    else:
        row.plan_value = document


def _inherit(session: Session, row: FlagRow, document: Any) -> None:
    """Let an environment's row end that says what all environments say; else it shows as drift."""
    row.plan_value = document
    if is_same(row.value, document):
        session.delete(row)


def _leave(session: Session, row: FlagRow, now: datetime) -> None:
    """Take a flag away that the plan does not have any more; a change by hand keeps it."""
    if not is_same(row.value, row.plan_value):
        row.plan_value = GONE
        return
    if row.value is not GONE:
        _write(session, row, GONE, actor="plan", reason="the plan has it no more", now=now)
    session.delete(row)


def _rows(session: Session, migration: str, environment: str) -> dict[str, FlagRow]:
    """Return the rows that hold in an environment, by name and in its order."""
    rows = _own_rows(session, migration, BASE)
    if environment != BASE:
        rows.update(_own_rows(session, migration, environment))
    return dict(sorted(rows.items()))


def _own_rows(session: Session, migration: str, environment: str) -> dict[str, FlagRow]:
    query = select(FlagRow).filter_by(migration=migration, environment=environment)
    return {row.name: row for row in session.scalars(query)}


def _own(
    session: Session, row: FlagRow | None, migration: str, environment: str, name: str,
    now: datetime,
) -> FlagRow:
    """Return the environment's own row, made from the inherited one when there is none."""
    if row is not None and row.environment == environment:
        return row
    own = FlagRow(
        migration=migration, environment=environment, name=name,
        value=GONE if row is None else row.value, plan_value=GONE if row is None
        else row.plan_value, version=0 if row is None else row.version, changed_at=now,
        changed_by="")
    session.add(own)
    return own


def _write(
    session: Session, row: FlagRow, document: Any, *, actor: str, reason: str, now: datetime
) -> None:
    session.add(FlagChangeRow(
        migration=row.migration, environment=row.environment, name=row.name, old=row.value,
        new=document, at=now, actor=actor, reason=reason))
    row.value, row.version = document, row.version + 1
    row.changed_at, row.changed_by = now, actor


def _state(row: FlagRow) -> FlagState:
    return FlagState(row.name, row.environment, row.value, row.plan_value, row.version,
                     row.changed_at, row.changed_by)


def _marker(session: Session, migration: str, environment: str) -> tuple[str, datetime | None]:
    last, at = session.execute(
        select(func.max(FlagChangeRow.id), func.max(FlagChangeRow.at))
        .where(FlagChangeRow.migration == migration)).one()
    version, moved = session.execute(
        select(RoutingRow.version, RoutingRow.changed_at)
        .where(RoutingRow.migration == migration)).one_or_none() or (0, None)
    digest = session.scalar(select(MigrationRow.digest).where(MigrationRow.name == migration))
    times = [time for time in (at, moved) if time is not None]
    return (etag_of(digest or "", environment, version, last or 0),
            max(times) if times else None)
