"""Tokens of the console: made once, shown once, kept as a hash, given an end.

A token is `chg_ID_SECRET`: the id finds its row, the secret has 256 random bits. sha256 is enough
for such a secret: there is nothing to guess that a slower hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import String, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.tokens import Token, TokenState
from changeover.errors import InvalidInput
from changeover.store import audit
from changeover.store.base import Base, Name, all_records, to_record, to_row
from changeover.store.engine import Store


class TokenRow(Base):
    """A token of a migration's console: only sha256 of its secret part is kept."""

    __tablename__ = "console_token"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    migration: Mapped[Name]
    name: Mapped[Name]
    scope: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


_FORM = re.compile(r"chg_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
USED_EVERY = timedelta(minutes=1)
"""The last use is written this often at most."""


def create(store: Store, wanted: Token) -> tuple[Token, str]:
    """Make a token, whatever its id; return it and its text, which nobody can ever see again."""
    text = new_text()
    return save(store, wanted, text), text


def new_text() -> str:
    """Return the text of a token that opens nothing until it is saved."""
    return f"chg_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def save(store: Store, wanted: Token, text: str) -> Token:
    """Save a token, whatever its id, by the text that `new_text` made; return it."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError("not the text of a token")
    token_id, secret = form.groups()
    token = replace(wanted, id=token_id)
    row = to_row(TokenRow, token)
    row.digest = _digest(secret)
    with store.begin() as session:
        session.add(row)
        audit.append(session, token.migration, NewEvent(
            actor=token.created_by, kind="token.created", at=token.created_at,
            data={"id": token_id, "name": token.name, "scope": str(token.scope)}))
    return token


def find(store: Store, migration: str, text: str, *, now: datetime) -> Token | None:
    """Return the migration's valid token with this text, and note its use; None for any other."""
    # no look at the store for what cannot be a token
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    with store.read() as session:
        row = session.get(TokenRow, form[1])
        # compared also when there is no such row, so that the time tells nothing
        known = row.digest if row else _digest("")
        is_right = hmac.compare_digest(known, _digest(form[2])) and row is not None
        if row is None or not is_right:
            return None
        token = to_record(Token, row)
    if token.migration != migration or token.state(now) is not TokenState.VALID:
        return None
    # once a minute: a page that polls would make a write of every request
    if token.last_used_at is None or now - token.last_used_at >= USED_EVERY:
        _note_use(store, token.id, now)
    return token


def every(store: Store, migration: str) -> list[Token]:
    """Return all tokens of a migration, oldest first."""
    query = select(TokenRow).where(TokenRow.migration == migration)
    return all_records(store, Token, query.order_by(TokenRow.created_at, TokenRow.id))


def revoke(store: Store, migration: str, token_id: str, *, actor: str, now: datetime) -> Token:
    """Make a token invalid for ever; doing it again changes nothing.

    Raises:
        InvalidInput: The migration has no such token.
    """
    with store.begin() as session:
        row = session.get(TokenRow, token_id)
        # a token of another migration is not there for this one: the answer must not reveal it
        if row is None or row.migration != migration:
            raise InvalidInput(f"migration {migration} has no token {token_id}",
                               next_step="See `changeover token list`")
        if row.revoked_at is None:
            row.revoked_at = now
            audit.append(session, migration, NewEvent(
                actor=actor, kind="token.revoked", at=now, data={"id": row.id, "name": row.name}))
        return to_record(Token, row)


def revoke_in(session: Session, text: str, *, now: datetime) -> bool:
    """Revoke a token by its text within the caller's transaction; return whether it is one."""
    form = _FORM.fullmatch(text)
    row = session.get(TokenRow, form[1]) if form else None
    if form is None or row is None or not hmac.compare_digest(row.digest, _digest(form[2])):
        return False
    row.revoked_at = row.revoked_at or now
    return True


def _note_use(store: Store, token_id: str, now: datetime) -> None:
    with store.begin() as session:
        session.execute(
            # two processes may note at once; the later moment stands
            update(TokenRow).where(
                TokenRow.id == token_id,
                or_(TokenRow.last_used_at.is_(None), TokenRow.last_used_at < now),
            ).values(last_used_at=now)
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
