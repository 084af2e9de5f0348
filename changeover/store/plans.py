"""The plans that were registered, and the routing state that comes into being with each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Mode
from changeover.errors import InvalidInput, Refused, StoreError
from changeover.plan.model import Plan
from changeover.plan.user_lists import as_context, changed_files
from changeover.store import audit, user_lists
from changeover.store.base import Base, NameKey
from changeover.store.cutovers import CutoverRow
from changeover.store.engine import Store
from changeover.store.routing import RoutingRow

_MOST_READS = 5
REGISTERED, AMENDED = "plan.registered", "plan.amended"


class MigrationRow(Base):
    """A migration and its plan as JSON; `digest` is sha256 of that JSON."""

    __tablename__ = "migration"
    name: Mapped[NameKey]
    plan: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    source: Mapped[str]
    registered_at: Mapped[datetime]


def register(store: Store, plan: Plan, *, source: str, now: datetime) -> None:
    """Keep `plan` as its migration's; the first time, traffic starts at the baseline.

    Registering the same plan again changes nothing.

    Args:
        store: The store.
        plan: The plan.
        source: Where it came from, for people.
        now: The present moment.

    Raises:
        Refused: The plan changed while a cutover of it runs.
    """
    content, own = _content(plan), digest_of(plan)
    lists = {sha256: found.content.decode() for sha256, found in user_lists.of_plan(plan).items()}
    with store.begin() as session:
        row = session.get(MigrationRow, plan.migration)
        # the same plan again is what every `up` does: nothing to audit, nothing to refuse
        if row is not None and row.digest == own:
            row.registered_at, row.source = now, source
            # one that somebody deleted comes back
            user_lists.save_in(session, plan.migration, lists)
            return
        if row is not None:
            files = changed_files(row.plan, content)
            _refuse_while_running(session, plan.migration, source, files)
        user_lists.save_in(session, plan.migration, lists)
        session.merge(
            MigrationRow(
                name=plan.migration, plan=content, digest=own, source=source, registered_at=now
            )
        )
        if row is None:
            # the state refers to the migration, so its row must be there first
            session.flush()
            session.add(_first_state(plan.migration, now))
        audit.append(session, plan.migration, NewEvent(
            actor="up", kind=REGISTERED, at=now, data={"digest": own, "source": source}))


@dataclass(frozen=True, slots=True)
class NewPlan:
    """The plan that a running cutover goes on with.

    Args:
        plan: The plan.
        source: Where it came from, for people.
        before: Digest of the plan that it replaces.
        changes: What differs, one line each.
        entered: Keys of the stages that had been entered when they were compared.
    """

    plan: Plan
    source: str
    before: str
    changes: Sequence[str]
    entered: Sequence[str] = ()


def replace_in(
    session: Session, new: NewPlan, people: Sequence[str], *, now: datetime
) -> None:
    """Replace the plan of a running cutover within the caller's transaction; once.

    Raises:
        Refused: It is not the plan any more that this one was compared with.
    """
    row = session.get_one(MigrationRow, new.plan.migration)
    own = digest_of(new.plan)
    if row.digest == own:
        # another of those who agree has replaced it already
        return
    # the changes that people agreed to were against another plan
    if row.digest != new.before:
        raise Refused("the plan was not amended because somebody amended it meanwhile",
                      next_step="Look at the changes again")
    row.plan, row.digest, row.source = _content(new.plan), own, new.source
    audit.append(session, new.plan.migration, NewEvent(
        actor=", ".join(people), kind=AMENDED, at=now,
        data={"digest": own, "before": new.before, "source": new.source,
              "changes": list(new.changes)}))


def times_amended_in(session: Session, migration: str) -> int:
    """Return how often a migration's plan was amended."""
    query = select(func.count()).select_from(audit.AuditRow).where(
        audit.AuditRow.migration == migration, audit.AuditRow.kind == AMENDED)
    return session.scalar(query) or 0


def plan_in(session: Session, migration: str) -> Plan:
    """Return the plan that is in force, within the caller's transaction; without users from files.
    """
    return Plan.model_validate(session.get_one(MigrationRow, migration).plan)


def digest(store: Store, migration: str) -> str:
    """Return the digest of a migration's plan; empty when there is no such migration."""
    with store.read() as session:
        query = select(MigrationRow.digest).where(MigrationRow.name == migration)
        return session.scalar(query) or ""


def digest_of(plan: Plan) -> str:
    """Return a digest that differs from any other plan's."""
    # canonical JSON of all values, defaults included: comments and order do not count
    return hashlib.sha256(audit.canonical(_content(plan)).encode()).hexdigest()


def _content(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(mode="json", by_alias=True, exclude_none=True)


def load(store: Store, migration: str | None = None) -> Plan:
    """Return a migration's plan; without a name, the one registered last.

    Raises:
        InvalidInput: No such migration.
        StoreError: A list of users is not in the store.
    """
    # `registered_at` moves with every `up`: the newest is the one in use
    query = select(MigrationRow).order_by(MigrationRow.registered_at.desc()).limit(1)
    if migration is not None:
        query = select(MigrationRow).where(MigrationRow.name == migration)
    with store.read() as session:
        row = session.scalar(query)
        if row is not None:
            return _with_lists(session, row, store.url)
    known = ", ".join(names(store)) or "none is registered"
    raise InvalidInput(
        f"no migration {migration or 'is registered'}", where=store.url, allowed=known,
        next_step="Register one with `changeover up --plan FILE`",
    )


def _with_lists(session: Session, row: MigrationRow, url: str) -> Plan:
    """Return a row's plan with the users that it lists."""
    for _ in range(_MOST_READS):
        lists = user_lists.lists_in(session, row.name, row.plan)
        if lists is not None:
            return Plan.model_validate(row.plan, context=as_context(lists))
        # on PostgreSQL another plan may have been registered between the two reads
        session.refresh(row)
    raise StoreError(
        f"a list of users of the plan of {row.name} is missing", where=url,
        next_step="Start `changeover up` with the same plan and files: it puts the list back")


def names(store: Store) -> list[str]:
    """Return the names of all registered migrations."""
    with store.read() as session:
        return list(session.scalars(select(MigrationRow.name).order_by(MigrationRow.name)))


def _refuse_while_running(
    session: Session, migration: str, source: str, files: Sequence[str]
) -> None:
    """Refuse another plan beside a running cutover.

    Args:
        session: The caller's transaction.
        migration: The migration.
        source: Where the other plan came from.
        files: Lists of users that are others than those of the present plan.
    """
    running = session.scalar(
        select(CutoverRow.id).where(
            CutoverRow.migration == migration, CutoverRow.status == CutoverStatus.RUNNING
        )
    )
    if running is not None:
        others = f" (the users in {', '.join(files)} are others)" if files else ""
        raise Refused(
            f"not registered because cutover {running} of {migration} runs on another plan{others}",
            where=source,
            next_step="Start with the plan that it began with, or end it first "
            "(approve it to its end, or `changeover rollback`)" + (
                ". `changeover plan users SEGMENT` prints the users that count" if files else ""),
        )


def _first_state(migration: str, now: datetime) -> RoutingRow:
    return RoutingRow(
        migration=migration, mode=Mode.BASELINE_ONLY, weight=0, segments=[], maintenance=False,
        maintenance_reason="", shadow_sample=0, version=1, epoch=0, changed_at=now,
    )
