"""Which database this is: several may use one Prefect server, with migrations of the same names."""

from __future__ import annotations

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.store.base import Base
from changeover.store.engine import Store


class IdentityRow(Base):
    """The one row with the database's own name, which was given when its tables were made."""

    __tablename__ = "store_identity"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)


def of(store: Store) -> str:
    """Return the database's own name; a copy that is restored elsewhere has the same.

    Raises:
        StoreError: The store cannot be used.
    """
    with store.read() as session:
        return session.scalar(select(IdentityRow.id)) or ""
