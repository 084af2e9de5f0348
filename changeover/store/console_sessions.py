"""Sessions of those who signed in at the console: begun, found again, ended for good.

The browser has a random id; the store has its sha256. Who reads the store cannot sign in with it.
A session that began with a token ends with it: it is looked up each time.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, delete, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.sessions import SignedIn, Source
from changeover.domain.tokens import ApproverToken, Scope, Token, TokenState
from changeover.store import audit
from changeover.store.approver_tokens import ApproverTokenRow
from changeover.store.base import Base, to_record
from changeover.store.engine import Store
from changeover.store.tokens import TokenRow

KEPT_FOR = timedelta(days=30)
"""How long sessions that are over stay in the store."""


class SessionRow(Base):
    """One session; `id` is sha256 of what the browser has, `source` is `SignedIn.by`."""

    __tablename__ = "console_session"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    migration: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(100))
    began_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    source: Mapped[str] = mapped_column(String(40), server_default="oidc")


def begin(store: Store, who: SignedIn, *, former: str = "") -> str:
    """Begin a session, audited; return what the browser keeps.

    Args:
        store: The store.
        who: Whose it is.
        former: What the same browser had kept before: that session ends.
    """
    key, now = secrets.token_urlsafe(32), who.began_at
    with store.begin() as session:
        _end_in(session, former, now)
        # nobody comes back to them: they would only grow in number
        session.execute(delete(SessionRow).where(
            SessionRow.migration == who.migration, SessionRow.expires_at < now - KEPT_FOR))
        session.add(SessionRow(
            id=digest(key), migration=who.migration, name=who.name, began_at=now,
            expires_at=who.expires_at, source=who.by))
        audit.append(session, who.migration, NewEvent(
            actor=who.name, kind="console.signed_in", at=now, data={"by": who.by}))
    return key


def find(store: Store, migration: str, key: str, *, now: datetime) -> SignedIn | None:
    """Return who a browser's session is of; None when it has ended or there never was one."""
    with store.read() as session:
        row = session.get(SessionRow, digest(key))
        if row is None or row.migration != migration:
            return None
        if row.ended_at is not None or now >= row.expires_at:
            return None
        return _signed_in(session, row, now)


@dataclass(frozen=True, slots=True)
class _Backing:
    """Whether what a session stands on is still good, and what it may do."""

    is_good: bool
    scope: Scope | None = None


def _signed_in(session: Session, row: SessionRow, now: datetime) -> SignedIn | None:
    kind, _, token_id = row.source.partition(" ")
    source = Source(kind)
    backing = _backing(session, source, token_id, now)
    if not backing.is_good:
        return None
    return SignedIn(
        row.migration, row.name, row.began_at, row.expires_at, source, token_id, backing.scope)


def _backing(session: Session, source: Source, token_id: str, now: datetime) -> _Backing:
    if source is Source.TOKEN:
        found = session.get(TokenRow, token_id)
        if found is None:
            return _Backing(False)
        token = to_record(Token, found)
        return _Backing(token.state(now) is TokenState.VALID, token.scope)
    if source is Source.APPROVER:
        row = session.get(ApproverTokenRow, token_id)
        if row is None:
            return _Backing(False)
        state = to_record(ApproverToken, row).state(now)
        return _Backing(state is TokenState.VALID)
    # what the provider said at the sign-in holds until the session's end
    return _Backing(True)


def end(store: Store, key: str, *, now: datetime) -> None:
    """End a session for good."""
    with store.begin() as session:
        _end_in(session, key, now)


def end_all(store: Store, migration: str, name: str, *, now: datetime) -> None:
    """End every session of somebody, on whatever machine."""
    with store.begin() as session:
        session.execute(
            update(SessionRow)
            .where(SessionRow.migration == migration, SessionRow.name == name,
                   SessionRow.ended_at.is_(None))
            .values(ended_at=now))


def _end_in(session: Session, key: str, now: datetime) -> None:
    row = session.get(SessionRow, digest(key)) if key else None
    if row is not None and row.ended_at is None:
        row.ended_at = now


def digest(key: str) -> str:
    """Return what the store has of a browser's key."""
    return hashlib.sha256(key.encode()).hexdigest()
