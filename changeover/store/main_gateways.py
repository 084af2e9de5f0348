"""The gateway of a migration's main machine, for those who are elsewhere; times: the database's.

Only the observer of `changeover up` writes the row, and only on a database that others can reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import JSON, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import Author, NewEvent
from changeover.domain.gateway_nodes import MAIN, Fleet, GatewayNode, NodeState
from changeover.errors import InvalidInput, Refused
from changeover.store import audit, gateway_nodes
from changeover.store.base import Base, NameKey
from changeover.store.engine import Store, time_of
from changeover.store.upserts import replace_in


class MainGatewayRow(Base):
    """What the main machine's gateway serves, when it was heard of, and where its pages are."""

    __tablename__ = "main_gateway"
    migration: Mapped[NameKey]
    address: Mapped[str]
    seen: Mapped[datetime]
    epoch: Mapped[int | None]
    version: Mapped[int | None]
    problem: Mapped[str]
    pages: Mapped[dict[str, str]] = mapped_column(JSON)


@dataclass(frozen=True, slots=True)
class MainSign:
    """What the main gateway says with a sign of life.

    Args:
        address: Where it listens.
        served: (epoch, version) that its Envoy serves; None while it does not answer.
        problem: Why it does not do what it should; empty when it does.
        pages: Addresses of pages by their keys in `run.json`, as `ui_url`; no secrets.
    """

    address: str
    served: tuple[int, int] | None
    problem: str = ""
    pages: dict[str, str] = field(default_factory=dict)


def sign(store: Store, migration: str, said: MainSign) -> None:
    """Note the main gateway's sign of life.

    Raises:
        StoreError: The store cannot be written.
    """
    epoch, version = said.served or (None, None)
    with store.begin(is_durable=False) as session:
        replace_in(session, MainGatewayRow, [{
            "migration": migration, "address": said.address, "seen": time_of(session),
            "epoch": epoch, "version": version, "problem": said.problem, "pages": said.pages,
        }], ("migration",))


def all_gateways(store: Store, migration: str) -> Fleet:
    """Return the gateways of a migration that count, for whoever has none: nodes and the main one.

    Raises:
        StoreError: The store cannot be read.
    """
    with store.read() as session:
        nodes, main = gateway_nodes.rows_in(session, migration), _find(session, migration)
        return Fleet.of([*nodes, *([main] if main else [])], time_of(session))


def served_in(session: Session, migration: str) -> list[tuple[int, int]]:
    """Return the (epoch, version) of each gateway that was heard of lately.

    Not those of nodes that did something while they were cut off: that has rules of its own.
    """
    main = _find(session, migration)
    nodes = [*gateway_nodes.rows_in(session, migration), *([main] if main else [])]
    fleet = Fleet.of(nodes, time_of(session))
    return [node.order for node in fleet.live if not node.unrecorded]


def find(store: Store, migration: str) -> GatewayNode | None:
    """Return the main gateway as one of the gateways; None while none was ever heard of."""
    with store.read() as session:
        return _find(session, migration)


def pages(store: Store, migration: str) -> dict[str, str]:
    """Return the addresses of the main machine's pages; empty when there is no main machine."""
    with store.read() as session:
        row = session.get(MainGatewayRow, migration)
        return dict(row.pages) if row is not None else {}


def forget(store: Store, migration: str, author: Author, *, now: datetime) -> GatewayNode:
    """Remove the main gateway of a machine that is no more; return what was known of it.

    Raises:
        InvalidInput: There is none.
        Refused: It was heard of lately.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        main = _find(session, migration)
        if main is None:
            raise InvalidInput(f"{migration} has no main gateway that was heard of")
        if not main.is_silent(time_of(session)):
            raise Refused(
                "the main gateway was not forgotten because it is alive", where=main.address,
                next_step="End `changeover up` on its machine first")
        session.execute(delete(MainGatewayRow).where(MainGatewayRow.migration == migration))
        audit.append(session, migration, NewEvent(
            actor=author.actor, kind="gateway_node.forgotten", at=now,
            data={"node": MAIN, "address": main.address, "reason": author.reason,
                  "epoch": main.epoch, "version": main.version, "seen": main.seen.isoformat()}))
        return main


def _find(session: Session, migration: str) -> GatewayNode | None:
    row = session.get(MainGatewayRow, migration)
    if row is None:
        return None
    return GatewayNode(
        migration, MAIN, row.address, "", NodeState.READY, started=row.seen, seen=row.seen,
        epoch=row.epoch, version=row.version, problem=row.problem)
