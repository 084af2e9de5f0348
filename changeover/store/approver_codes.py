"""Codes for Prefect's form: each for one person, one question and one decision, once.

What is typed into the form stays readable in Prefect's database. A code is worth nothing there:
it is spent when it is looked at, it ends after minutes, and it fits one decision only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.plan.people import person
from changeover.store import audit, scrypt
from changeover.store.base import Base, RowId
from changeover.store.engine import Store

VALID = timedelta(minutes=10)
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that is read as another one
_LENGTH = 8


class CodeRow(Base):
    """One code; `about` is the question with the decision."""

    __tablename__ = "approver_code"
    id: Mapped[RowId]
    migration: Mapped[str] = mapped_column(String(63))
    person: Mapped[str] = mapped_column(String(400))
    about: Mapped[str] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(200))
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_approver_code", "migration", "person", "about"),)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a code is for.

    Args:
        migration: The migration.
        name: Who may use it.
        about: The question and the decision.
        source: How the person showed who they are: `cli` or `console`.
    """

    migration: str
    name: str
    about: str
    source: str = "cli"


class Code(StrEnum):
    """What a code that somebody typed is worth."""

    RIGHT = "right"
    OVER = "over"  # it was right until it was used, replaced or too old
    WRONG = "wrong"


def about(approval_id: int, decision: str) -> str:
    """Return what a code for a question is about."""
    return f"{approval_id} {decision}"


def issue(store: Store, purpose: Purpose, *, now: datetime) -> str:
    """Make a code and return it; one that was made before for the same is worth nothing more."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    row = CodeRow(
        migration=purpose.migration, person=person(purpose.name), about=purpose.about,
        source=purpose.source, digest=scrypt.hashed(letters), made_at=now,
        expires_at=now + VALID)
    with store.begin() as session:
        audit.lock(session, purpose.migration)
        for each in session.scalars(_open(purpose)):
            each.used_at = now
        session.add(row)
        audit.append(session, purpose.migration, NewEvent(
            actor=purpose.name, kind="approver.code", at=now,
            data={"about": purpose.about, "source": purpose.source}))
    return f"{letters[:4]}-{letters[4:]}"


def spend_in(session: Session, purpose: Purpose, text: str, *, now: datetime) -> Code:
    """Use a code within the caller's transaction; return what it was worth.

    A wrong one ends those that are open: a slip of the finger would leave most of the right one
    readable in Prefect's database.
    """
    letters = "".join(text.split()).replace("-", "").upper()
    newest = select(CodeRow).filter_by(
        migration=purpose.migration, person=person(purpose.name), about=purpose.about,
    ).order_by(CodeRow.id.desc()).limit(1)
    row = session.scalar(newest)
    if row is None:
        return Code.WRONG
    is_right = scrypt.is_same(letters, row.digest)
    is_open = row.used_at is None and now < row.expires_at
    row.used_at = row.used_at or now
    if not is_right:
        return Code.WRONG
    return Code.RIGHT if is_open else Code.OVER


def _open(purpose: Purpose):  # type: ignore[no-untyped-def]
    return select(CodeRow).filter_by(
        migration=purpose.migration, person=person(purpose.name), about=purpose.about, used_at=None)
