"""Claims in the store: exactly one holder per item, however many ask at once, whoever is killed.

Many requests are carried out in one transaction. Rows are locked in the order of their items:

1. The items' rows are read and locked. Whoever else wants one of them waits here.
2. The routing state and the time are read: what was true before the wait counts no more.
3. Each request is decided by `changeover.domain.claims`; changed rows are written.
4. New rows are inserted unless another process did in between (its row was not there to lock):
   those items, and only those, begin again at 1, where their rows are found.
5. The routing state is read again and locked until the end. If it changed in between, as by a
   rollback, everything is undone and begins again: nobody gets a claim that it forbids. It is
   locked for the commit alone, so that a rollback never waits for claims.
6. The commit makes all of it true at once: claims, audit, and the rollback that a failed item calls
   for. A kill before it leaves the items as they were, a kill after it leaves claims whose leases
   run out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
from sqlalchemy import (
    BigInteger,
    Index,
    String,
    Table,
    bindparam,
    case,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain import claims as rules
from changeover.domain.audit import NewEvent
from changeover.domain.claims import Claim, NewClaim, Refusal, Status
from changeover.domain.routing import RoutingState, System
from changeover.errors import StoreLocked
from changeover.store import audit, rollbacks, routing
from changeover.store.base import Base, NameKey, to_record
from changeover.store.engine import Store, time_of


class ClaimRow(Base):
    """Who may act on an item. One row per item for ever: what is done is never claimed again.

    `token` grows with every new holder; `given_to` is the system that an item was handed to.
    """

    __tablename__ = "claim"
    migration: Mapped[NameKey]
    item: Mapped[str] = mapped_column(String(200), primary_key=True)
    status: Mapped[str] = mapped_column(String(8))
    system: Mapped[str] = mapped_column(String(16))
    holder: Mapped[str] = mapped_column(String(120))
    token: Mapped[int] = mapped_column(BigInteger)
    claimed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    given_to: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    epoch: Mapped[int]
    __table_args__ = (
        Index(
            "ix_claim_open", "migration", "status",
            sqlite_where=text("status <> 'done'"), postgresql_where=text("status <> 'done'"),
        ),
    )


Found = Claim | Refusal
Rule = Callable[[Claim | None, RoutingState, datetime], Found]
_AT_ONCE = 500
_ATTEMPTS = 20
"""One fails only when the routing changed meanwhile: so many in a row are a fault elsewhere."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Something that somebody wants with an item: `rule` says what becomes of its claim."""

    item: str
    rule: Rule
    is_audited: bool = False
    """Whether it is audited: hand-overs and failures are, not each of a million claims."""
    may_roll_back: bool = False
    """Whether the plan has everyone rolled back when the candidate fails in `candidate_only`."""


def claiming(wanted: NewClaim) -> ClaimRequest:
    """Return the request to act on an item."""
    return ClaimRequest(
        wanted.item, lambda present, state, now: rules.claim(wanted, present, state, now))


def renewing(item: str, token: int, lease: timedelta) -> ClaimRequest:
    """Return the request to keep an item for longer."""
    def rule(present: Claim | None, state: RoutingState, now: datetime) -> Found:
        return rules.renew(present, token, lease, state=state, now=now)

    return ClaimRequest(item, rule)


def completing(item: str, token: int) -> ClaimRequest:
    """Return the request to have an item done for ever."""
    return ClaimRequest(item, lambda present, _state, _now: rules.complete(present, token))


def releasing(item: str, token: int) -> ClaimRequest:
    """Return the request to give an item back."""
    return ClaimRequest(item, lambda present, _state, now: rules.release(present, token, now))


def handing_over(item: str, token: int, to: System, reason: str) -> ClaimRequest:
    """Return the request to hand an item to a system."""
    def rule(present: Claim | None, state: RoutingState, now: datetime) -> Found:
        return rules.hand_over(present, token, to, reason=reason, state=state, now=now)

    return ClaimRequest(item, rule, is_audited=True)


def failing(item: str, token: int, reason: str, *, may_roll_back: bool = False) -> ClaimRequest:
    """Return the request of a worker that could not do an item.

    Args:
        item: Name of the item.
        token: The worker's.
        reason: Why it could not, one sentence.
        may_roll_back: The plan's `claims.rollback_on_failure`.
    """
    def rule(present: Claim | None, state: RoutingState, now: datetime) -> Found:
        return rules.fail(present, token, reason, state=state, now=now)

    return ClaimRequest(item, rule, is_audited=True, may_roll_back=may_roll_back)


def carry_out(
    store: Store, migration: str, requests: Sequence[ClaimRequest], *, now: datetime | None = None
) -> list[Found]:
    """Carry out requests in their order, in one transaction; return what each of them led to.

    Args:
        store: The store.
        migration: Name of the migration.
        requests: What is wanted; several of one item are decided one after the other.
        now: The present moment; None for the database's when the items are locked, so that leases
            begin then and consoles on several machines agree.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used; nothing was changed.
    """
    for _ in range(_ATTEMPTS):
        # each attempt is a transaction of its own: what `_Moved` ends is undone
        with contextlib.suppress(_Moved), store.begin() as session:
            return _attempt(session, migration, requests, now)
    raise StoreLocked(
        f"the routing state changed under each of {_ATTEMPTS} attempts", where=store.url,
        next_step="See who changes it with `changeover history`")


def one(store: Store, migration: str, item: str) -> Claim | None:
    """Return an item's claim, None when nobody ever claimed it."""
    with store.read() as session:
        row = session.get(ClaimRow, (migration, item))
        return to_record(Claim, row) if row else None


def some(store: Store, migration: str, items: Iterable[str]) -> dict[str, Claim]:
    """Return the claims of some items, by item; those that nobody ever claimed are left out."""
    wanted, found = sorted(items), {}
    with store.read() as session:
        # no database takes any number of values at once
        for start in range(0, len(wanted), _AT_ONCE):
            rows = session.scalars(select(ClaimRow).where(
                ClaimRow.migration == migration,
                ClaimRow.item.in_(wanted[start:start + _AT_ONCE])))
            found.update({row.item: to_record(Claim, row) for row in rows})
    return found


def open_claims(store: Store, migration: str, *, now: datetime) -> dict[str, int]:
    """Return how many items are held, whose lease is over (`expired`), and free again."""
    is_running = func.sum(case((ClaimRow.expires_at > now, 1), else_=0))
    query = select(ClaimRow.status, func.count(), is_running).where(
        ClaimRow.migration == migration,
        ClaimRow.status != literal_column(f"'{Status.DONE}'"),  # as in the partial index
    ).group_by(ClaimRow.status)
    found = {"held": 0, "expired": 0, "free": 0}
    with store.read() as session:
        for status, number, running in session.execute(query):
            if status == Status.FREE:
                found["free"] = number
            else:
                found |= {"held": running, "expired": number - running}
    return found


class _Moved(Exception):
    """The routing state changed while requests were decided by it."""


@dataclass
class _Decided:
    """What requests led to, by their number; and the claims that changed, by item."""

    found: dict[int, Found] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)


def _attempt(
    session: Session, migration: str, requests: Sequence[ClaimRequest], now: datetime | None
) -> list[Found]:
    results: dict[int, Found] = {}
    changed: set[int] = set()
    # numbered, so that answers come back in the order of the requests
    left, state = dict(enumerate(requests)), None
    while left:
        known = _lock(session, migration, {request.item for request in left.values()})
        # one state for all rounds: whether it changed since is asked below, once
        state = state or routing.read_in(session, migration)
        at = now or time_of(session)
        decided = _decide(left, known, state, at)
        lost = _write(session, migration, known, decided.claims)
        # a lost item's row is there now: the next round finds it and decides anew
        for number, request in list(left.items()):
            if request.item not in lost:
                results[number] = decided.found[number]
                changed |= {number} & decided.changed
                del left[number]
    # nothing changed, nothing to protect: refusals lock no routing state
    if changed and state is not None:
        if not routing.lock(session, state):
            raise _Moved
        _audit(session, state, [(requests[each], results[each]) for each in sorted(changed)], at)
    return [results[number] for number in range(len(requests))]


def _lock(session: Session, migration: str, items: set[str]) -> dict[str, Claim]:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    # SQLite has no arrays; one JSON text says the same
    named = orjson.dumps(sorted(items)).decode() if is_sqlite else sorted(items)
    rows = session.connection().execute(
        _SELECT_SQLITE if is_sqlite else _SELECT_POSTGRES,
        {"migration": migration, "items": named})
    return {row.item: Claim(**{**row._mapping, "status": Status(row.status)}) for row in rows}


def _decide(
    requests: Mapping[int, ClaimRequest], known: Mapping[str, Claim], state: RoutingState,
    now: datetime,
) -> _Decided:
    decided = _Decided()
    for number, request in requests.items():
        # a request sees what an earlier one of this batch did to its item
        present = decided.claims.get(request.item, known.get(request.item))
        found = decided.found[number] = request.rule(present, state, now)
        if isinstance(found, Claim) and found != present:
            decided.claims[request.item] = found
            decided.changed.add(number)
    return decided


def _write(
    session: Session, migration: str, known: Mapping[str, Claim], claims: Mapping[str, Claim]
) -> set[str]:
    """Write claims; return the items that another process inserted first."""
    changed = []
    for item in claims:
        if item in known:
            values = _values(claims[item])
            changed.append({f"new_{name}": value for name, value in values.items()})
    if changed:
        session.connection().execute(_update(migration), changed)
    new = [item for item in sorted(claims) if item not in known]
    if not new:
        return set()
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    stamp = _SQLITE_TIME if is_sqlite else "%Y-%m-%dT%H:%M:%S.%f+00:00"
    rows = []
    for item in new:
        rows.append([
            value.astimezone(UTC).strftime(stamp) if isinstance(value, datetime) else value
            for value in _values(claims[item]).values()])
    inserted = session.connection().execute(
        _INSERT_SQLITE if is_sqlite else _INSERT_POSTGRES,
        {"migration": migration, "rows": orjson.dumps(rows).decode()})
    # what `RETURNING` leaves out is what another process inserted first
    return set(new) - set(inserted.scalars())


def _update(migration: str) -> Any:
    changes: dict[str, Any] = {
        name: bindparam(f"new_{name}") for name in _COLUMNS if name != "item"}
    return update(_TABLE).where(
        _TABLE.c.migration == migration, _TABLE.c.item == bindparam("new_item")).values(changes)


_TABLE = cast(Table, ClaimRow.__table__)
_COLUMNS = ("item", "status", "system", "holder", "token", "claimed_at", "expires_at", "given_to",
            "reason", "epoch")
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQLITE_TIME = "%Y-%m-%d %H:%M:%S.%f"  # as SQLAlchemy writes times there

# One text and few parameters whatever the number of items: a statement with a parameter for each
# value is put together, sent and planned anew for every batch, at ten times the cost.
_SELECT = "SELECT {columns} FROM claim WHERE migration = :migration AND item {among} ORDER BY item"
_SELECT_SQLITE = text(_SELECT.format(
    columns=", ".join(_COLUMNS), among="IN (SELECT value FROM json_each(:items))",
)).columns(*(_TABLE.c[name] for name in _COLUMNS))
_SELECT_POSTGRES = text(_SELECT.format(
    columns=", ".join(_COLUMNS), among="= ANY(CAST(:items AS varchar[]))",
) + " FOR UPDATE").columns(*(_TABLE.c[name] for name in _COLUMNS))
_INSERT = (
    f"INSERT INTO claim (migration, {', '.join(_COLUMNS)}) "  # noqa: S608  names of columns
    "SELECT CAST(:migration AS varchar(63)), {values} FROM {rows} WHERE true "
    "ON CONFLICT (migration, item) DO NOTHING RETURNING item"
)
_INSERT_SQLITE = text(_INSERT.format(
    rows="json_each(:rows)",
    values=", ".join(f"value ->> {number}" for number in range(len(_COLUMNS)))))
_INSERT_POSTGRES = text(_INSERT.format(
    rows="jsonb_array_elements(CAST(:rows AS jsonb)) AS each(value)",
    values=", ".join(
        f"CAST(value ->> {number} AS {_TABLE.c[name].type.compile(_DIALECT)})"
        for number, name in enumerate(_COLUMNS))))


def _values(claim: Claim) -> dict[str, Any]:
    """Return a claim's columns, in the order of `_COLUMNS`."""
    values = {name: getattr(claim, name) for name in _COLUMNS}
    return values | {"status": claim.status.value, "system": str(claim.system)}


def _audit(
    session: Session, state: RoutingState, done: Sequence[tuple[ClaimRequest, Found]], now: datetime
) -> None:
    """Audit what changed, and call for the rollback that a failed item is to cause.

    Whoever asks again, because no answer came, changes nothing: it is audited once.
    """
    for request, found in done:
        if not request.is_audited or not isinstance(found, Claim):
            continue
        audit.append(session, state.migration, NewEvent(
            actor=f"{found.system}: {found.holder}", kind="claim.handed_over", at=now,
            data={"item": request.item, "to": found.given_to or "whoever is entitled",
                  "token": found.token, "reason": found.reason}))
        if rules.trips_rollback(found, state, is_wanted=request.may_roll_back):
            rollbacks.want_in(
                session, state, now=now,
                reason=f"{found.holder} could not do {found.item}: {found.reason}")
