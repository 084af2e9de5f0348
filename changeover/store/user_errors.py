"""The first error of each user: in statistics the user counts, not the request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from changeover.store.base import Base, NameKey
from changeover.store.engine import Store
from changeover.store.upserts import chunks, upsert_of


class UserErrorRow(Base):
    """The first error of each user on each system: the user is the statistical unit."""

    __tablename__ = "user_first_error"
    migration: Mapped[NameKey]
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_hash: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]


def record(
    store: Store, migration: str, rows: Sequence[tuple[str, str, datetime]]
) -> None:
    """Keep the first error of each user: (hash of the key, system, time); later ones are known."""
    if not rows:
        return
    values = [
        {"migration": migration, "user_hash": user, "system": system, "at": at}
        for user, system, at in rows
    ]
    for part in chunks(values):
        # a transaction for each part: in an error storm there are very many users
        with store.begin(is_durable=False) as session:
            session.execute(upsert_of(session)(UserErrorRow).values(part).on_conflict_do_nothing())
