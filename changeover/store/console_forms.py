"""Forms that people sent at the console: each is carried out once, however often it arrives.

1. The first that arrives writes its row as begun, and acts. 2. Another one of the same key finds
the row: it waits for what the first one said. 3. When the first one was killed, its row stays
begun; after a while the next one acts in its place. What it does must therefore be possible twice:
every procedure that a form calls finds what was done before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, delete
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.audit import NewEvent
from changeover.errors import Refused
from changeover.store import audit
from changeover.store.base import Base, to_record
from changeover.store.engine import Store

GIVEN_UP = timedelta(minutes=3)
"""A form that was begun so long ago and said nothing was killed: longer than any action takes."""
KEPT_FOR = timedelta(days=30)


class FormRow(Base):
    """One form; `id` is sha256 of its key."""

    __tablename__ = "console_form"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    migration: Mapped[str] = mapped_column(String(63))
    action: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(100))
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    is_done: Mapped[bool]
    said: Mapped[str]


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was sent, and what came of it.

    Args:
        id: sha256 of its key.
        migration: The migration.
        action: What it asks for.
        actor: Who sent it.
        begun_at: When it was begun.
        ended_at: When it ended; None: not yet.
        is_done: Whether the action was carried out.
        said: What came of it, for people.
    """

    id: str
    migration: str
    action: str
    actor: str
    begun_at: datetime
    ended_at: datetime | None = None
    is_done: bool = False
    said: str = ""


def begin(store: Store, form: Form, *, by: str) -> Form | None:
    """Take up a form; None: the caller carries it out. Else what is known of it.

    Args:
        store: The store.
        form: The form, begun now.
        by: How its sender signed in, for the audit.

    Raises:
        Refused: A form of this key was about something else.
    """
    now = form.begun_at
    with store.begin() as session:
        # two that arrive together: one of them finds the other's row
        audit.lock(session, form.migration)
        row = session.get(FormRow, form.id)
        if row is not None:
            known = to_record(Form, row)
            if (known.migration, known.action) != (form.migration, form.action):
                raise Refused("this form was used for something else already")
            if known.ended_at is not None or now - known.begun_at < GIVEN_UP:
                return known
            # whoever began it was killed: the third one to come finds it begun anew
            row.begun_at = now
            return None
        session.execute(delete(FormRow).where(
            FormRow.migration == form.migration, FormRow.begun_at < now - KEPT_FOR))
        session.add(FormRow(
            id=form.id, migration=form.migration, action=form.action, actor=form.actor,
            begun_at=now, ended_at=None, is_done=False, said=""))
        audit.append(session, form.migration, NewEvent(
            actor=form.actor, kind="console.acts", at=now,
            data={"action": form.action, "by": by, "form": form.id[:12]}))
        return None


def end(store: Store, form_id: str, said: str, *, is_done: bool, now: datetime) -> None:
    """Write what came of a form."""
    with store.begin() as session:
        row = session.get_one(FormRow, form_id)
        # the first word stands: it may have been shown already
        if row.ended_at is None:
            row.ended_at, row.is_done, row.said = now, is_done, said


def find(store: Store, migration: str, form_id: str) -> Form | None:
    """Return what is known of a form; None when it never arrived."""
    with store.read() as session:
        row = session.get(FormRow, form_id)
        if row is None or row.migration != migration:
            return None
        return to_record(Form, row)
