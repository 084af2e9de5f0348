"""Gateway nodes: each writes its own row, everybody reads them. Their times are the database's."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover import clock
from changeover.domain.audit import Author, NewEvent
from changeover.domain.gateway_nodes import Fleet, GatewayNode, NodeState
from changeover.errors import InvalidInput, Refused
from changeover.store import audit
from changeover.store.base import Base, NameKey, to_record
from changeover.store.engine import Store, time_of
from changeover.store.upserts import replace_in, upsert_of

KEPT = timedelta(days=7)
"""Rows of nodes that have gone, or were lost, are kept for so long."""


class GatewayNodeRow(Base):
    """A gateway on another machine: what it serves, and when it was heard of."""

    __tablename__ = "gateway_node"
    migration: Mapped[NameKey]
    name: Mapped[NameKey]
    address: Mapped[str]
    home: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    started: Mapped[datetime]
    seen: Mapped[datetime]
    epoch: Mapped[int | None]
    version: Mapped[int | None]
    confirmed_at: Mapped[datetime | None]
    measured_until: Mapped[int] = mapped_column(BigInteger)
    problem: Mapped[str]
    # written by the node
    own_moves: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    # written by who records them
    recorded: Mapped[str] = mapped_column(String(40))
    break_glass_url: Mapped[str]


# plain columns: of hundreds of nodes this is read several times a second
_NODES = select(*(GatewayNodeRow.__table__.columns[each.name] for each in fields(GatewayNode)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is; see `GatewayNode`. It has joined when it knows its start."""

    migration: str
    name: str
    home: str
    address: str
    started: datetime | None = None
    break_glass_url: str = ""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a node says with a sign of life; see `GatewayNode`."""

    state: NodeState
    served: tuple[int, int] | None
    measured_until: int
    problem: str = ""
    own_moves: tuple[dict[str, Any], ...] = ()


def join(store: Store, who: Identity) -> Identity:
    """Note that a node starts; it serves nothing yet.

    Returns:
        The node with the moment of its start, which tells it from a later start with the same home.

    Raises:
        Refused: Another home's node of this name is at work, or did something while it was cut off
            that is not recorded yet.
    """
    with store.begin() as session:
        now = time_of(session)
        row = _row_of(session, who)
        if row is not None and row.home != who.home:
            _refuse_beside(to_record(GatewayNode, row), now)
        # an Envoy that a killed agent left goes on with the routes that it had
        kept = row if row is not None and row.home == who.home else None
        values = _new(who, now) | {
            "epoch": kept and kept.epoch, "version": kept and kept.version,
            "confirmed_at": kept and kept.confirmed_at,
            "recorded": kept.recorded if kept is not None else ""}
        replace_in(session, GatewayNodeRow, [values], ("migration", "name"))
        session.execute(delete(GatewayNodeRow).where(
            GatewayNodeRow.migration == who.migration, GatewayNodeRow.seen < now - KEPT))
        return replace(who, started=now)


def _new(who: Identity, now: datetime) -> dict[str, Any]:
    """Return the row of a node that serves nothing yet."""
    return {
        "migration": who.migration, "name": who.name, "address": who.address,
        "home": who.home, "state": str(NodeState.STARTING), "started": now, "seen": now,
        "epoch": None, "version": None, "confirmed_at": None, "measured_until": 0, "problem": "",
        "own_moves": None, "recorded": "", "break_glass_url": who.break_glass_url}


def _refuse_beside(other: GatewayNode, now: datetime) -> None:
    # the row goes to the new one: everyone must have followed that node before
    if other.unrecorded:
        raise Refused(
            f"not started because what the gateway node {other.name} of another home did while it "
            "was cut off is not recorded yet",
            next_step="The observer records it within a second: start it, see `changeover "
            "status`, then start this node again")
    if other.state is NodeState.GONE or other.is_silent(now):
        return
    raise Refused(
        f"not started because a gateway node {other.name} of {other.migration} is at work "
        f"elsewhere (it listens on {other.address})",
        next_step="Give each node a name of its own with --name, or end that one first: a node "
        "that ended without a word is free again after 3 s")


def sign(store: Store, who: Identity, said: Sign) -> bool:
    """Note a node's sign of life; return False when its name belongs to another by now.

    That is another home, or a later start with the same home: a copy of it on another machine.
    A row that is missing is made anew: a database that was restored, or whose standby took over,
    may be of before the node's start, and that must not end nodes that serve.
    """
    with store.begin(is_durable=False) as session:
        row, now = _row_of(session, who), time_of(session)
        if row is None:
            # two homes may come at once: the first one has the name
            session.execute(upsert_of(session)(GatewayNodeRow).values(
                _new(who, who.started or now)).on_conflict_do_nothing())
            row = _row_of(session, who)
        started = who.started or now
        if row is None or row.home != who.home or row.started > started:
            return False
        # a row of a restored database may be of an earlier start
        row.started = started
        served = said.served or (None, None)
        # the moment of the first word of it: those who wait for the version read it
        if said.served is not None and (row.epoch, row.version) != served:
            row.confirmed_at = now
        row.epoch, row.version = served
        row.state, row.seen, row.address = str(said.state), now, who.address
        row.measured_until, row.problem = said.measured_until, said.problem
        row.break_glass_url = who.break_glass_url
        row.own_moves = list(said.own_moves) or None
        return True


def recorded(store: Store, who: Identity) -> str:
    """Return the moment of the newest of a node's own moves that is recorded; empty for none."""
    query = select(GatewayNodeRow.recorded).filter_by(
        migration=who.migration, name=who.name, home=who.home)
    with store.read() as session:
        return session.scalar(query) or ""


def note_recorded(store: Store, migration: str, name: str, at: str) -> None:
    """Note that a node's own moves are recorded, up to the one of a moment."""
    with store.begin() as session:
        session.execute(update(GatewayNodeRow).where(
            GatewayNodeRow.migration == migration, GatewayNodeRow.name == name,
        ).values(recorded=at))


def forget(
    store: Store, migration: str, name: str, author: Author, *, now: datetime
) -> GatewayNode:
    """Remove the row of a node that is dead; return what was known of it.

    One that lives after all makes its row anew with its next sign of life.

    Raises:
        InvalidInput: There is no such node.
        Refused: It was heard of lately, or what it did while it was cut off is not recorded yet.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        row = session.get(GatewayNodeRow, (migration, name), with_for_update=True)
        if row is None:
            raise _no_such(session, migration, name)
        node = to_record(GatewayNode, row)
        _refuse_alive(node, time_of(session))
        session.delete(row)
        audit.append(session, migration, NewEvent(
            actor=author.actor, kind="gateway_node.forgotten", at=now,
            data={"node": name, "address": node.address, "reason": author.reason,
                  "epoch": node.epoch, "version": node.version,
                  "seen": node.seen.isoformat()}))
        return node


def _no_such(session: Session, migration: str, name: str) -> InvalidInput:
    known = session.scalars(select(GatewayNodeRow.name).where(
        GatewayNodeRow.migration == migration).order_by(GatewayNodeRow.name))
    return InvalidInput(
        f"{migration} has no gateway node {name}", allowed=", ".join(known) or "there are none")


def _refuse_alive(node: GatewayNode, now: datetime) -> None:
    is_gone = node.state is NodeState.GONE
    if not is_gone and not node.is_silent(now):
        raise Refused(
            f"{node.name} was not forgotten because it is alive: it was heard of "
            f"{max(0.0, (now - node.seen).total_seconds()):.0f} s ago",
            where=node.address, next_step="End it on its machine first: it drains, and has gone")
    if node.unrecorded:
        raise Refused(
            f"{node.name} was not forgotten because what it did while it was cut off is not "
            "recorded yet", next_step="The observer records it within a second: start it, see "
            "`changeover status`")


def _row_of(session: Session, who: Identity) -> GatewayNodeRow | None:
    return session.get(GatewayNodeRow, (who.migration, who.name), with_for_update=True)


def fleet(store: Store, migration: str) -> Fleet:
    """Return a migration's nodes that count; without any this is one small query."""
    with store.read() as session:
        return fleet_in(session, migration)


def fleet_in(session: Session, migration: str) -> Fleet:
    """Return a migration's nodes that count, within the caller's transaction."""
    nodes = rows_in(session, migration)
    return Fleet.of(nodes, time_of(session) if nodes else clock.now())


def rows_in(session: Session, migration: str) -> list[GatewayNode]:
    """Return every node of a migration that is known, also those that have gone."""
    found = session.execute(_NODES.where(GatewayNodeRow.migration == migration))
    return [GatewayNode(**{**row._mapping, "state": NodeState(row.state)}) for row in found]
