"""Sessions of people who signed in at the console: begun, found again, ended for good.

The browser has a random id; the store has its sha256. Who reads the store cannot sign in with it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.audit import NewEvent
from changeover.store import audit
from changeover.store.base import Base
from changeover.store.engine import Store


class SessionRow(Base):
    """One session; `id` is sha256 of what the browser has."""

    __tablename__ = "console_session"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    migration: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(100))
    began_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who signed in, and until when."""

    migration: str
    name: str
    began_at: datetime
    expires_at: datetime


def begin(store: Store, who: SignedIn) -> str:
    """Begin a session, audited; return what the browser keeps."""
    key = secrets.token_urlsafe(32)
    with store.begin() as session:
        session.add(SessionRow(
            id=_digest(key), migration=who.migration, name=who.name, began_at=who.began_at,
            expires_at=who.expires_at))
        audit.append(session, who.migration, NewEvent(
            actor=who.name, kind="console.signed_in", at=who.began_at, data={}))
    return key


def find(store: Store, migration: str, key: str, *, now: datetime) -> SignedIn | None:
    """Return who a browser's session is of; None when it has ended or there never was one."""
    with store.read() as session:
        row = session.get(SessionRow, _digest(key))
        if row is None or row.migration != migration:
            return None
        if row.ended_at is not None or now >= row.expires_at:
            return None
        return SignedIn(row.migration, row.name, row.began_at, row.expires_at)


def end(store: Store, key: str, *, now: datetime) -> None:
    """End a session for good."""
    with store.begin() as session:
        row = session.get(SessionRow, _digest(key))
        if row is not None and row.ended_at is None:
            row.ended_at = now


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
