"""Messages to people: saved at once, sent once by the observer, tried again while that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import JSON, Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.messages import Message, Severity
from changeover.store import audit
from changeover.store.base import Base, Name, RowId, to_record, to_row
from changeover.store.engine import Store


class MessageRow(Base):
    """A message to people; `key` keeps it from being sent twice.

    `reached` names the channels that have it already; they do not get it again.
    """

    __tablename__ = "message"
    id: Mapped[RowId]
    migration: Mapped[Name]
    key: Mapped[str] = mapped_column(String(200))
    severity: Mapped[str] = mapped_column(String(16))
    title: Mapped[str]
    body: Mapped[str]
    at: Mapped[datetime]
    is_sent: Mapped[bool]
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    problem: Mapped[str]
    reached: Mapped[list[str] | None] = mapped_column("told", JSON)
    __table_args__ = (
        Index("ix_message_due", "migration", "is_sent", "next_at"),
        Index("ix_message_key", "migration", "key", "at"),
    )


QUIET = timedelta(minutes=10)
"""The same message is not sent again within this time."""
MOST_ATTEMPTS = 12
"""With waits that double this is tried for five hours and a half."""
FIRST_WAIT = timedelta(seconds=5)
"""A channel that is only just restarting has it in time; each further wait is twice as long."""


def put(store: Store, message: Message, *, is_once: bool = False) -> bool:
    """Save a message to be sent; return whether it is new.

    Not new is one whose key was sent lately (`QUIET`), or with `is_once` at any time.
    """
    same = select(MessageRow.id).filter_by(migration=message.migration, key=message.key[:200])
    if not is_once:
        same = same.where(MessageRow.at > message.at - QUIET)
    with store.begin() as session:
        # else two processes put the same one at the same moment
        audit.lock(session, message.migration)
        if session.scalar(same.limit(1)) is not None:
            return False
        put_in(session, message)
        return True


def put_in(session: Session, message: Message) -> None:
    """Save a message to be sent within the caller's transaction, which sees that it is new."""
    # cut to the column's width here as in `put`, or the same message would not be found again
    row = to_row(MessageRow, replace(message, key=message.key[:200]))
    row.next_at = message.at
    session.add(row)


def due(store: Store, migration: str, *, now: datetime) -> list[Message]:
    """Return the messages that are to be sent now, the most severe first."""
    query = select(MessageRow).where(
        MessageRow.migration == migration, MessageRow.is_sent.is_(False),
        MessageRow.next_at <= now, MessageRow.attempts < MOST_ATTEMPTS,
    ).order_by(MessageRow.id).limit(50)
    with store.read() as session:
        found = [_message(row) for row in session.scalars(query)]
    # in the order of severity, which is the order in the enumeration; the oldest first within one
    return sorted(found, key=lambda message: -list(Severity).index(message.severity))


def tried(
    store: Store, message_id: int, *, reached: Sequence[str], problem: str, now: datetime
) -> Message:
    """Note an attempt: sent when there was no problem, else tried again after a longer wait.

    Args:
        store: The store.
        message_id: Which message.
        reached: The channels that have it by now; they do not get it again.
        problem: Why others have not; empty when all have it.
        now: The present moment.
    """
    with store.begin() as session:
        row = session.get_one(MessageRow, message_id)
        row.attempts += 1
        row.is_sent, row.problem, row.reached = not problem, problem, [*reached]
        row.next_at = now + FIRST_WAIT * 2 ** (row.attempts - 1)
        return _message(row)


def newest(store: Store, migration: str, *, most: int = 100) -> list[Message]:
    """Return the newest messages, oldest first."""
    query = select(MessageRow).filter_by(migration=migration).order_by(MessageRow.id.desc())
    # what was asked for are the newest, what is shown is in order
    with store.read() as session:
        return [_message(row) for row in session.scalars(query.limit(most))][::-1]


def _message(row: MessageRow) -> Message:
    return to_record(Message, row, reached=tuple(row.reached or ()))
