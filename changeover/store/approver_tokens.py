"""Personal tokens of people who approve: made once, shown once, kept as a salted hash.

A token is `cha_ID_SECRET`: the id finds its row, the secret has 256 random bits.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.tokens import ApproverToken, TokenState
from changeover.errors import InvalidInput, Refused
from changeover.plan.people import person
from changeover.store import audit, scrypt
from changeover.store.base import Base, all_records, to_record, to_row
from changeover.store.engine import Store


class ApproverTokenRow(Base):
    """One person's token; `person` is the name as it is compared."""

    __tablename__ = "approver_token"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    migration: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(100))
    person: Mapped[str] = mapped_column(String(400))
    digest: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_approver_token", "migration", "person"),)


FORM = re.compile(r"\s*cha_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\s*")


def add(store: Store, wanted: ApproverToken, *, is_new: bool = True) -> tuple[ApproverToken, str]:
    """Make a person's token; return it and its text, which nobody can ever see again.

    Args:
        store: The store.
        wanted: Whose it is, and until when.
        is_new: Whether they must not have one; else it takes the place of those they have.

    Raises:
        Refused: They have one already.
    """
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = to_row(ApproverTokenRow, replace(wanted, id=token_id))
    row.person, row.digest = person(wanted.name), scrypt.hashed(secret)
    with store.begin() as session:
        audit.lock(session, wanted.migration)
        former = _valid(session, wanted.migration, wanted.name, wanted.created_at)
        if former and is_new:
            raise Refused(f"{former[0].name} has a token already", where="NAME",
                          next_step="`changeover approver rotate` replaces it")
        for each in former:
            each.revoked_at = wanted.created_at
        session.add(row)
        audit.append(session, wanted.migration, NewEvent(
            actor=wanted.created_by, kind="approver.token", at=wanted.created_at,
            data={"id": token_id, "name": wanted.name, "replaces": [each.id for each in former]}))
    return replace(wanted, id=token_id), f"cha_{token_id}_{secret}"


def find(store: Store, migration: str, text: str, *, now: datetime) -> ApproverToken | None:
    """Return the migration's valid token with this text; None for any other."""
    form = FORM.fullmatch(text)
    if form is None:
        return None
    with store.read() as session:
        row = session.get(ApproverTokenRow, form[1])
        if row is None or row.migration != migration:
            return None
        token, digest = to_record(ApproverToken, row), row.digest
    is_right = scrypt.is_same(form[2], digest)
    return token if is_right and token.state(now) is TokenState.VALID else None


def id_in(text: str) -> str:
    """Return the id of the token that a text means to be; empty when it is none."""
    form = FORM.fullmatch(text)
    return form[1] if form else ""


def is_known(store: Store, token_id: str) -> bool:
    """Whether there is a token of this id: to look at its secret takes a slow hash."""
    with store.read() as session:
        return session.get(ApproverTokenRow, token_id) is not None


def is_valid_in(session: Session, token: ApproverToken, now: datetime) -> bool:
    """Whether a token that was found a moment ago was not revoked since."""
    row = session.get(ApproverTokenRow, token.id)
    return row is not None and to_record(ApproverToken, row).state(now) is TokenState.VALID


def every(store: Store, migration: str) -> list[ApproverToken]:
    """Return all tokens of a migration's approvers, oldest first."""
    query = select(ApproverTokenRow).where(ApproverTokenRow.migration == migration)
    return all_records(store, ApproverToken, query.order_by(
        ApproverTokenRow.created_at, ApproverTokenRow.id))


def remove(store: Store, migration: str, name: str, *, actor: str, now: datetime) -> list[str]:
    """Revoke a person's tokens; doing it again changes nothing.

    Returns:
        Ids of those that were valid.

    Raises:
        InvalidInput: They never had one.
    """
    with store.begin() as session:
        audit.lock(session, migration)
        query = select(ApproverTokenRow).filter_by(migration=migration, person=person(name))
        if session.scalar(query.limit(1)) is None:
            raise InvalidInput(f"migration {migration} has no token of {name!r}", where="NAME",
                               next_step="See `changeover approver list`")
        found = _valid(session, migration, name, now)
        for each in found:
            each.revoked_at = now
        gone = [each.id for each in found]
        if gone:
            audit.append(session, migration, NewEvent(
                actor=actor, kind="approver.removed", at=now, data={"name": name, "ids": gone}))
        return gone


def revoke_in(session: Session, text: str, *, now: datetime) -> bool:
    """Revoke a token that others could read, as one that was typed into a form."""
    form = FORM.fullmatch(text)
    row = session.get(ApproverTokenRow, form[1]) if form else None
    if form is None or row is None or not scrypt.is_same(form[2], row.digest):
        return False
    row.revoked_at = row.revoked_at or now
    return True


def _valid(
    session: Session, migration: str, name: str, now: datetime
) -> list[ApproverTokenRow]:
    query = select(ApproverTokenRow).filter_by(
        migration=migration, person=person(name), revoked_at=None)
    return [row for row in session.scalars(query)
            if to_record(ApproverToken, row).state(now) is TokenState.VALID]
