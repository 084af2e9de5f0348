"""The routing state's row: read, and changed by compare-and-swap with its audit event."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CursorResult,
    ForeignKey,
    String,
    bindparam,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain import members, routing
from changeover.domain.audit import Author, NewEvent
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import InvalidInput, StaleEpoch, StoreLocked
from changeover.store import audit, carriers, followed, main_gateways, notices
from changeover.store.base import Base
from changeover.store.engine import Store


class RoutingRow(Base):
    """The one routing state of a migration."""

    __tablename__ = "routing_state"
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"), primary_key=True)
    mode: Mapped[str] = mapped_column(String(32))
    weight: Mapped[int]
    # those that stay at the baseline have a `-` before their name; `=7000` is their users' weight
    segments: Mapped[list[str]]
    maintenance: Mapped[bool]
    maintenance_reason: Mapped[str]
    shadow_sample: Mapped[int]
    version: Mapped[int]
    epoch: Mapped[int]
    changed_at: Mapped[datetime]
    # {"moved": {"orders": 5000}, "kept": ["login"]}; none where no route is elsewhere
    routes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


_ATTEMPTS = 20
"""Each fails only when somebody else changed the row: so many in a row are a fault elsewhere."""
_KEPT = "-"
"""No name of a segment begins with it."""
_WEIGHT = "="
"""Nor with it: what stands behind it is how many buckets of the segments' users are moved."""
# built once, and read as plain columns: three services ask for it all the time
_STATE = select(
    RoutingRow.migration, RoutingRow.mode, RoutingRow.weight, RoutingRow.segments,
    RoutingRow.maintenance, RoutingRow.maintenance_reason, RoutingRow.shadow_sample,
    RoutingRow.version, RoutingRow.epoch, RoutingRow.routes,
).where(RoutingRow.migration == bindparam("name"))


def read(store: Store, migration: str) -> RoutingState:
    """Return the routing state.

    Raises:
        InvalidInput: No such migration.
    """
    with store.read() as session:
        return read_in(session, migration)


def read_in(
    session: Session, migration: str, *, locks: bool = False, shares: bool = False
) -> RoutingState:
    """Return the routing state within the caller's transaction.

    Args:
        session: The transaction.
        migration: Name of the migration.
        locks: Nobody else may change or lock it until the transaction's end.
        shares: Nobody may change it until then; many may have this lock at once.

    Raises:
        InvalidInput: No such migration.
    """
    query = _STATE.with_for_update(read=shares) if locks or shares else _STATE
    row = session.execute(query, {"name": migration}).one_or_none()
    if row is None:
        raise InvalidInput(
            f"no migration {migration} is registered",
            next_step="Register one with `changeover up --plan FILE`",
        )
    return RoutingState(
        migration=row.migration,
        mode=Mode(row.mode),
        weight=row.weight,
        segments=tuple(name for name in row.segments if name[0] not in (_KEPT, _WEIGHT)),
        kept=tuple(name.removeprefix(_KEPT) for name in row.segments if name.startswith(_KEPT)),
        segment_weight=_segment_weight(row.segments),
        maintenance=row.maintenance,
        maintenance_reason=row.maintenance_reason,
        shadow_sample=row.shadow_sample,
        version=row.version,
        epoch=row.epoch,
        **_routes_of(row.routes),
    )


def _routes_of(stored: dict[str, Any] | None) -> dict[str, Any]:
    if stored is None:
        return {}
    return {"routes": tuple(sorted(stored["moved"].items())), "kept_routes": tuple(stored["kept"])}


def _routes(state: RoutingState) -> dict[str, Any] | None:
    if not state.routes and not state.kept_routes:
        return None
    return {"moved": dict(state.routes), "kept": list(state.kept_routes)}


def lock(session: Session, state: RoutingState) -> bool:
    """Whether a state is still the present one; if so nobody replaces it before the caller's
    transaction ends. Many may have this lock at once."""
    # a shared lock: claims do not wait for each other, only a change of the state waits for them
    query = select(RoutingRow.version).where(RoutingRow.migration == state.migration)
    return session.scalar(query.with_for_update(read=True)) == state.version


def lock_epoch(session: Session, migration: str, epoch: int) -> None:
    """Check that no rollback came since `epoch`, and let none come until the transaction ends.

    Raises:
        StaleEpoch: One came.
    """
    present = read_in(session, migration, locks=True)
    if present.epoch != epoch:
        raise StaleEpoch(
            f"not done because a rollback came first (epoch {present.epoch}, this was decided in "
            f"epoch {epoch})", where=f"migration {migration}")


def change(
    store: Store, migration: str, change: Change, author: Author, *, now: datetime
) -> RoutingState:
    """Change the routing state in one transaction with its audit event; the only way to do it.

    The new state is computed by `changeover.domain.routing.apply` and written only if nobody
    changed the row in between; else it is computed anew from what is there now.

    Returns:
        The state that holds now; the present one when the change was none.

    Raises:
        StaleEpoch, TransitionRefused, InvalidInput: As `apply` says; nothing was changed.
        CarriedElsewhere: Another flow run carries the work by now; nothing was changed.
        AheadOfLeader: A migration that goes first is not so far, or was rolled back.
        StoreLocked: The row changed under every attempt.
    """
    for _ in range(_ATTEMPTS):
        with store.begin() as session:
            # locked until the end (PostgreSQL): many writers wait in turn instead of losing races
            present = read_in(session, migration, locks=True)
            # asked in the same transaction as the change: a run that lost its work moves nobody
            if change.carried_by is not None:
                subject, flow_run_id = change.carried_by
                carriers.refuse_other(carriers.one_in(session, migration, subject), flow_run_id)
            wished = routing.apply(present, _above_all(session, migration, change))
            # no change, no version and no audit: the same command may be given again
            if wished is present:
                return present
            _keep_behind(session, present, wished, change)
            if _swap(session, present, wished, now):
                followed.keep_in(session, present, wished)
                event = _event(present, wished, change, author, now=now)
                audit.append(session, migration, event)
                notices.notify_in(session, migration)
                return wished
    raise StoreLocked(
        f"the routing state changed under each of {_ATTEMPTS} attempts", where=store.url,
        next_step="See who else changes it with `changeover history`",
    )


def _above_all(session: Session, migration: str, change: Change) -> Change:
    """Return a change that is to be later than what is served, with what gateways said of it."""
    if change.above is None:
        return change
    others = main_gateways.served_in(session, migration)
    return replace(change, above=max([change.above, *others]))


def _keep_behind(
    session: Session, present: RoutingState, wished: RoutingState, change: Change
) -> None:
    """Check that nobody gets ahead of the migrations that go first, until the transaction ends.

    Each migration locks those of lower order after itself, so no two wait for each other.

    Raises:
        AheadOfLeader: Somebody would.
    """
    if change.leads:
        states = [read_in(session, lead.migration, shares=True) for lead in change.leads]
        members.refuse_ahead(change.leads, states)
        followed.note_in(session, present, wished, change.leads)


def _event(
    present: RoutingState, wished: RoutingState, change: Change,
    author: Author, *, now: datetime,
) -> NewEvent:
    kind = "routing.changed"
    # only a rollback begins a new epoch
    if wished.epoch != present.epoch:
        kind = "rollback.started"
    data = {
        "from": present.describe(), "to": wished.describe(),
        "reason": author.reason, "weight": wished.weight,
        "mode": str(wished.mode), **change.audited,
    }
    if stored := _routes(wished):
        data["routes"] = stored
    return NewEvent(actor=author.actor, kind=kind, at=now, data=data)


def _segments(state: RoutingState) -> list[str]:
    left = state.segment_weight
    weights = [] if left == routing.BUCKETS else [f"{_WEIGHT}{left}"]
    return [*state.segments, *(f"{_KEPT}{name}" for name in state.kept), *weights]


def _segment_weight(stored: list[str]) -> int:
    for name in stored:
        if name.startswith(_WEIGHT):
            return int(name.removeprefix(_WEIGHT))
    return routing.BUCKETS


def _swap(session: Session, present: RoutingState, wished: RoutingState, now: datetime) -> bool:
    """Write `wished` if the row still has `present`'s version; return whether it had."""
    result = session.execute(
        update(RoutingRow)
        .where(RoutingRow.migration == present.migration, RoutingRow.version == present.version)
        .values(
            mode=str(wished.mode), weight=wished.weight, segments=_segments(wished),
            maintenance=wished.maintenance, maintenance_reason=wished.maintenance_reason,
            shadow_sample=wished.shadow_sample, version=wished.version, epoch=wished.epoch,
            routes=_routes(wished), changed_at=now,
        )
        # no object of this session holds the row
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101  narrows the type: an UPDATE has one
    return result.rowcount == 1
