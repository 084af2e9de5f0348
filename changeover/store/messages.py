"""Messages to people: put down at once, sent by the observer, each once, again while it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.store import audit
from changeover.store.engine import Store
from changeover.store.rows import to_record
from changeover.store.sop_tables import MessageRow

SEVERITIES = ("info", "warning", "critical")
QUIET = timedelta(minutes=10)
"""The same message is not sent again within this time."""
MOST_ATTEMPTS = 12
"""With waits that double this is tried for five hours and a half."""
FIRST_WAIT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how far its sending has come.

    `problem` is why the last attempt failed, `told` are the channels that have it.
    """

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
    told: tuple[str, ...]


def put(
    store: Store, migration: str, *, key: str, severity: str, title: str, body: str,
    now: datetime, is_once: bool = False,
) -> bool:
    """Keep a message to be sent; return whether it is new.

    Not new is one whose key was told lately (`QUIET`), or with `is_once` at any time.
    """
    with store.begin() as session:
        audit.lock(session, migration)  # else two processes put the same one at the same moment
        same = select(MessageRow.id).where(
            MessageRow.migration == migration, MessageRow.key == key[:200])
        if not is_once:
            same = same.where(MessageRow.at > now - QUIET)
        if session.scalar(same.limit(1)) is not None:
            return False
        put_in(session, migration, key=key, severity=severity, title=title, body=body, now=now)
        return True


def put_in(
    session: Session, migration: str, *, key: str, severity: str, title: str, body: str,
    now: datetime,
) -> None:
    """Keep a message to be sent within the caller's transaction, which sees that it is new."""
    session.add(MessageRow(
        migration=migration, key=key[:200], severity=severity, title=title, body=body, at=now,
        is_sent=False, attempts=0, next_at=now, problem="", told=[]))


def due(store: Store, migration: str, *, now: datetime) -> list[Message]:
    """Return the messages that are to be sent now, the most severe first."""
    query = select(MessageRow).where(
        MessageRow.migration == migration, MessageRow.is_sent.is_(False),
        MessageRow.next_at <= now, MessageRow.attempts < MOST_ATTEMPTS,
    ).order_by(MessageRow.id).limit(50)
    with store.read() as session:
        found = [_message(row) for row in session.scalars(query)]
    return sorted(found, key=lambda message: -SEVERITIES.index(message.severity))


def tried(
    store: Store, message_id: int, *, told: Sequence[str], problem: str, now: datetime
) -> Message:
    """Note an attempt: sent when there was no problem, else tried again after a longer wait.

    Args:
        store: The store.
        message_id: Which message.
        told: The channels that have it by now; they are not told again.
        problem: Why others have not; empty when all have it.
        now: The present moment.
    """
    with store.begin() as session:
        row = session.get_one(MessageRow, message_id)
        row.attempts += 1
        row.is_sent, row.problem, row.told = not problem, problem, [*told]
        row.next_at = now + FIRST_WAIT * 2 ** (row.attempts - 1)
        return _message(row)


def newest(store: Store, migration: str, *, most: int = 100) -> list[Message]:
    """Return the newest messages, oldest first."""
    query = select(MessageRow).filter_by(migration=migration).order_by(MessageRow.id.desc())
    with store.read() as session:
        return [_message(row) for row in session.scalars(query.limit(most))][::-1]


def _message(row: MessageRow) -> Message:
    return to_record(Message, row, told=tuple(row.told or ()))
