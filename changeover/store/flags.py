"""Flags in the store: what holds for each, what the plan says, and every change of them.

A row of an environment stands instead of the one of all environments (`BASE`); what an environment
does not have it inherits. Values are kept in the plan's own form: a plain value, or a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, bindparam, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import Author, NewEvent
from changeover.errors import FlagChanged, InvalidInput
from changeover.flags.by_hand import with_value
from changeover.flags.snapshot import Snapshot, etag_of, of_plan
from changeover.flags.state import BASE, FlagEdit, FlagState, NewValues, is_same
from changeover.plan import environments
from changeover.plan.flags import as_document, as_spec, from_document, plain_value
from changeover.plan.model import Plan
from changeover.store import audit, plans, routing
from changeover.store.base import Base, Name, NameKey, RowId
from changeover.store.engine import Store
from changeover.store.plans import MigrationRow
from changeover.store.routing import RoutingRow


class FlagRow(Base):
    """A flag's value; `plan_value` is what the plan says, so that a change by hand shows."""

    __tablename__ = "flag"
    migration: Mapped[NameKey]
    environment: Mapped[NameKey]
    name: Mapped[NameKey]
    value: Mapped[Any] = mapped_column(JSON)
    plan_value: Mapped[Any] = mapped_column(JSON)
    version: Mapped[int]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(120))


class FlagChangeRow(Base):
    """One change of a flag: who, when, why, old and new."""

    __tablename__ = "flag_change"
    id: Mapped[RowId]
    migration: Mapped[Name]
    environment: Mapped[Name]
    name: Mapped[Name]
    old: Mapped[Any] = mapped_column(JSON)
    new: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str]
    __table_args__ = (Index("ix_flag_change", "migration", "environment", "name", "id"),)


GONE: Any = None
"""What a row holds for a flag that the environment does not have."""


def read(store: Store, migration: str, environment: str = BASE) -> dict[str, FlagState]:
    """Return every flag of an environment, those that it inherits included."""
    with store.read() as session:
        rows = _rows(session, migration, environment)
        return {name: state_of(row) for name, row in rows.items() if row.value is not GONE}


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
        # read before all that it marks: what changes in between is then found at the next poll
        etag, changed_at = _marker(session, migration, environment)
    plan = plans.load(store, migration)
    state = routing.read(store, migration)
    with store.read() as session:
        rows = _rows(session, migration, environment)
    entries = {name: from_document(row.value) for name, row in rows.items()
               if row.value is not GONE}
    return replace(of_plan(plan, state), flags=entries, environment=environment, etag=etag,
                   changed_at=changed_at)


def marker(store: Store, migration: str, environment: str = BASE) -> str:
    """Return what a snapshot's etag would be now; cheap enough to ask several times a second."""
    with store.read() as session:
        return _marker(session, migration, environment)[0]


def follow_plan(store: Store, plan: Plan, *, now: datetime) -> None:
    """Give flags the plan's values; one that was changed by hand keeps its own, as drift.

    What the plan's environments say instead goes into their own rows. A flag that the plan has
    no more is removed, unless it was changed by hand.
    """
    documents = {name: as_document(entry) for name, entry in plan.flags.items()}
    with store.begin() as session:
        audit.lock(session, plan.migration)
        for environment, wanted in _wanted(plan, documents).items():
            scope = _Scope(session, plan.migration, environment, now)
            known = scope.own_rows()
            for name, document in wanted.items():
                row = known.pop(name, None)
                scope.follow(row or scope.new_row(name), document)
            for name, row in known.items():
                if environment != BASE and name in documents:
                    scope.inherit(row, documents[name])
                elif name not in documents:
                    scope.remove(row)


def set_values(
    store: Store, migration: str, wanted: NewValues, author: Author, *, now: datetime
) -> list[str]:
    """Set flags for everyone, all or none, and return the names of those that changed.

    Rules of a flag end with it; `reset` brings back what the plan says. Audited once. A value of
    another kind than the flag's replaces the flag: a rollback is never held up by one.

    Raises:
        StaleEpoch: A rollback came since; nothing was set, and what it sets stays.
    """
    changed = {}
    with store.begin() as session:
        # the first lock: a rollback either came before, and is seen here, or waits for us
        if wanted.expected_epoch is not None:
            routing.lock_epoch(session, migration, wanted.expected_epoch)
        audit.lock(session, migration)
        scope = _Scope(session, migration, wanted.environment, now)
        rows = scope.rows()
        for name, value in wanted.values.items():
            row = rows.get(name)
            document = _document_for(name, row, value, may_mirror=wanted.may_mirror)
            # no version, no history and no audit for what is so already
            if row is not None and is_same(row.value, document):
                continue
            scope.write(scope.own(name, row), document, author)
            changed[name] = value
        if changed:
            audit.append(session, migration, NewEvent(
                actor=author.actor, kind="flags.set", at=now,
                data={"flags": changed, "reason": author.reason,
                      "environment": wanted.environment}))
    return list(changed)


def change(
    store: Store, migration: str, edit: FlagEdit, author: Author, *, now: datetime
) -> FlagState:
    """Change one flag by hand, in one transaction with its history and audit.

    Returns:
        The state that holds now.

    Raises:
        InvalidInput: There is no such flag, or the wish does not fit it.
        FlagChanged: Someone else changed the flag since `expected_version`.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        scope = _Scope(session, migration, edit.environment, now)
        row = _expected(scope.rows(), edit, migration)
        present = state_of(row)
        document = edit.wish(present)
        # the wish is decided under the lock, by the value that it replaces
        if is_same(row.value, document):
            return present
        row = scope.own(edit.name, row)
        scope.write(row, document, author)
        audit.append(session, migration, NewEvent(
            actor=author.actor, kind="flag.changed", at=now,
            data={"flag": edit.name, "environment": edit.environment, "old": present.document,
                  "new": document, "version": row.version, "reason": author.reason}))
        return state_of(row)


def _expected(rows: Mapping[str, FlagRow], edit: FlagEdit, migration: str) -> FlagRow:
    """Return the row of the flag that an edit is about, at the version that its author saw."""
    where = f"migration {migration}"
    row = rows.get(edit.name)
    if row is None or row.value is GONE:
        known = sorted(name for name, row in rows.items() if row.value is not GONE)
        raise InvalidInput(f"there is no flag {edit.name!r}", where=where,
                           allowed=", ".join(known) or "none; the plan has no flags")
    if edit.expected_version not in (None, row.version):
        raise FlagChanged(
            f"flag {edit.name} was changed meanwhile by {row.changed_by}: it is at version "
            f"{row.version}, not {edit.expected_version}", where=where,
            next_step=f"See it with `changeover flags show {edit.name}` and decide anew")
    return row


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
    # oldest first, as a person reads it
    with store.read() as session:
        return [
            {"at": row.at, "actor": row.actor, "reason": row.reason, "old": row.old,
             "new": row.new, "environment": row.environment}
            for row in session.scalars(query.order_by(FlagChangeRow.id))
        ]


def _document_for(name: str, row: FlagRow | None, value: Any, *, may_mirror: bool) -> Any:
    """Return the document that gives everyone a value, or mirrors the migration instead."""
    if row is None:
        return as_document(with_value(name, None, value))
    # a flag that mirrors the migration follows a rollback by itself: a fixed value would not
    if may_mirror and _mirrors(row.plan_value):
        return row.plan_value
    present = None if row.value is GONE else from_document(row.value)
    try:
        return as_document(with_value(name, present, value))
    except InvalidInput:  # of another kind than the flag
        return as_document(with_value(name, None, value))


def _mirrors(document: Any) -> bool:
    return document is not GONE and as_spec(from_document(document)).mirrors is not None


def _wanted(plan: Plan, documents: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documents that each environment's own rows should hold.

    A plan that was loaded for an environment no longer says what the others would have.
    """
    overlays = {}
    for name, overlay in plan.environments.items():
        overlays[name] = overlay.get("flags") or {}
    if plan.environment is None:
        wanted = {BASE: documents}
        for name, flags in overlays.items():
            wanted[name] = _of_environment(documents, flags)
        return wanted
    own = overlays.get(plan.environment, {})
    shared = {name: document for name, document in documents.items() if name not in own}
    # the overlay was merged when the plan was loaded: its flags are this environment's alone
    return {BASE: shared,
            plan.environment: {name: documents.get(name, GONE) for name in own}}


def _of_environment(documents: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = environments.merge(documents, overlay)
    found = {}
    for name in overlay:
        # an overlay may say `null`: the environment does without that flag
        found[name] = GONE
        if name in merged:
            found[name] = as_document(from_document(merged[name]))
    return found


@dataclass(frozen=True, slots=True)
class _Scope:
    """The flags of one environment within a transaction."""

    session: Session
    migration: str
    environment: str
    now: datetime

    def rows(self) -> dict[str, FlagRow]:
        """Return the rows that hold in the environment, by name and in its order."""
        return _rows(self.session, self.migration, self.environment)

    def own_rows(self) -> dict[str, FlagRow]:
        """Return the environment's own rows by name."""
        return _own_rows(self.session, self.migration, self.environment)

    def new_row(self, name: str, like: FlagRow | None = None) -> FlagRow:
        """Add a row of the environment: empty, or as the one that it inherits."""
        row = FlagRow(
            migration=self.migration, environment=self.environment, name=name, value=GONE,
            plan_value=GONE, version=0, changed_at=self.now, changed_by="")
        if like is not None:
            row.value, row.plan_value, row.version = like.value, like.plan_value, like.version
        self.session.add(row)
        return row

    def own(self, name: str, row: FlagRow | None) -> FlagRow:
        """Return the environment's own row, made from the inherited one when there is none."""
        if row is not None and row.environment == self.environment:
            return row
        return self.new_row(name, row)

    def write(self, row: FlagRow, document: Any, author: Author) -> None:
        """Change a flag's value and note it in its history."""
        self.session.add(FlagChangeRow(
            migration=row.migration, environment=row.environment, name=row.name, old=row.value,
            new=document, at=self.now, actor=author.actor, reason=author.reason))
        row.value, row.version = document, row.version + 1
        row.changed_at, row.changed_by = self.now, author.actor

    def follow(self, row: FlagRow, document: Any) -> None:
        """Give a flag what the plan says, unless it was changed by hand."""
        # version 0 is a row that was only just added
        is_new = row.version == 0
        is_planned = is_same(row.value, row.plan_value)
        row.plan_value = document
        if is_new:
            self.write(row, document, Author("plan", "the plan's"))
        elif is_planned and not is_same(row.value, document):
            self.write(row, document, Author("plan", "the plan changed"))

    def inherit(self, row: FlagRow, document: Any) -> None:
        """Delete an environment's row that says what all environments say; else it is drift."""
        row.plan_value = document
        if is_same(row.value, document):
            self.session.delete(row)

    def remove(self, row: FlagRow) -> None:
        """Remove a flag that the plan has no more; a change by hand stays."""
        # kept without a plan's value: it shows as drift until a person resets it
        if not is_same(row.value, row.plan_value):
            row.plan_value = GONE
            return
        if row.value is not GONE:
            self.write(row, GONE, Author("plan", "the plan has it no more"))
        self.session.delete(row)


def _rows(session: Session, migration: str, environment: str) -> dict[str, FlagRow]:
    """Return the rows that hold in an environment, by name and in its order."""
    rows = _own_rows(session, migration, BASE)
    if environment != BASE:
        rows.update(_own_rows(session, migration, environment))
    return dict(sorted(rows.items()))


def _own_rows(session: Session, migration: str, environment: str) -> dict[str, FlagRow]:
    query = select(FlagRow).filter_by(migration=migration, environment=environment)
    return {row.name: row for row in session.scalars(query)}


def state_of(row: FlagRow) -> FlagState:
    """Return a flag's row as the rest of the program knows it."""
    return FlagState(row.name, row.environment, row.value, row.plan_value, row.version,
                     row.changed_at, row.changed_by)


_CHANGES = select(FlagChangeRow).where(FlagChangeRow.migration == MigrationRow.name)
# built once: it is asked several times a second for as long as the migration lasts
_MARKER = (
    select(
        MigrationRow.digest, RoutingRow.version, RoutingRow.changed_at,
        _CHANGES.with_only_columns(func.max(FlagChangeRow.id)).scalar_subquery(),
        _CHANGES.with_only_columns(func.max(FlagChangeRow.at)).scalar_subquery(),
    )
    .outerjoin(RoutingRow, RoutingRow.migration == MigrationRow.name)
    .where(MigrationRow.name == bindparam("migration"))
)


def _marker(session: Session, migration: str, environment: str) -> tuple[str, datetime | None]:
    row = session.execute(_MARKER, {"migration": migration}).one_or_none()
    digest, version, moved, last, at = row or ("", None, None, None, None)
    times = [time for time in (at, moved) if time is not None]
    return (etag_of(digest, environment, version or 0, last or 0),
            max(times) if times else None)
