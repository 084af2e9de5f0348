"""Attempts to bring a routing state to the gateway."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Float, Index, Integer, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.publications import Publication
from changeover.store.base import Base, Id, all_records, first_record, to_row
from changeover.store.engine import Store


class PublicationRow(Base):
    """An attempt to bring a routing state to the gateway."""

    __tablename__ = "publication"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    epoch: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]
    is_confirmed: Mapped[bool] = mapped_column(Boolean)
    seconds: Mapped[float] = mapped_column(Float)
    error: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_publication_migration", "migration", "id"),)


def save(store: Store, publication: Publication) -> None:
    """Save an attempt to publish."""
    with store.begin() as session:
        session.add(to_row(PublicationRow, publication))


def all_of(store: Store, migration: str) -> list[Publication]:
    """Return the attempts to publish, in order."""
    query = select(PublicationRow).where(PublicationRow.migration == migration)
    return all_records(store, Publication, query.order_by(PublicationRow.id))



def latest(store: Store, migration: str) -> Publication | None:
    """Return the newest attempt to publish; None before the first."""
    query = select(PublicationRow).where(PublicationRow.migration == migration)
    return first_record(store, Publication, query.order_by(PublicationRow.id.desc()))
