"""Messages to people: put down at once, sent by the observer, each once, again while it fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.rows import to_record
from changeover.store.sop_tables import MessageRow

SEVERITIES = ("info", "warning", "critical")
QUIET = timedelta(minutes=10)
"""The same message is not sent again within this time."""
MOST_ATTEMPTS = 8
FIRST_WAIT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how far its sending has come; `problem` is why the last attempt failed."""

    id: int
    migration: str
    key: str
    severity: str
    title: str
    body: str
    at: datetime
    is_sent: bool
    attempts: int
    next_at: datetime
    problem: str


def put(
    store: Store, migration: str, *, key: str, severity: str, title: str, body: str,
    now: datetime,
) -> bool:
    """Keep a message to be sent; return whether it is new, and not the same as one lately."""
    with store.begin() as session:
        audit.lock(session, migration)  # else two processes put the same one at the same moment
        same = select(MessageRow.id).where(
            MessageRow.migration == migration, MessageRow.key == key[:200],
            MessageRow.at > now - QUIET)
        if session.scalar(same.limit(1)) is not None:
            return False
        session.add(MessageRow(
            migration=migration, key=key[:200], severity=severity, title=title, body=body, at=now,
            is_sent=False, attempts=0, next_at=now, problem=""))
        return True


def due(store: Store, migration: str, *, now: datetime) -> list[Message]:
    """Return the messages that are to be sent now, the most severe first."""
    query = select(MessageRow).where(
        MessageRow.migration == migration, MessageRow.is_sent.is_(False),
        MessageRow.next_at <= now, MessageRow.attempts < MOST_ATTEMPTS,
    ).order_by(MessageRow.id).limit(50)
    with store.read() as session:
        found = [to_record(Message, row) for row in session.scalars(query)]
    return sorted(found, key=lambda message: -SEVERITIES.index(message.severity))


def tried(store: Store, message_id: int, *, problem: str, now: datetime) -> Message:
    """Note an attempt: sent when there was no problem, else tried again after a longer wait."""
    with store.begin() as session:
        row = session.get_one(MessageRow, message_id)
        row.attempts += 1
        row.is_sent, row.problem = not problem, problem
        row.next_at = now + FIRST_WAIT * 2 ** (row.attempts - 1)
        return to_record(Message, row)


def newest(store: Store, migration: str, *, most: int = 100) -> list[Message]:
    """Return the newest messages, oldest first."""
    query = select(MessageRow).filter_by(migration=migration).order_by(MessageRow.id.desc())
    with store.read() as session:
        return [to_record(Message, row) for row in session.scalars(query.limit(most))][::-1]
