"""Attempts to bring a routing state to the gateway."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.publications import Publication
from changeover.store.base import Base, Name, RowId, all_records, first_record, to_record, to_row
from changeover.store.engine import Store


class PublicationRow(Base):
    """An attempt to bring a routing state to the gateway."""

    __tablename__ = "publication"
    id: Mapped[RowId]
    migration: Mapped[Name]
    epoch: Mapped[int]
    version: Mapped[int]
    at: Mapped[datetime]
    is_confirmed: Mapped[bool]
    seconds: Mapped[float]
    error: Mapped[str]
    nodes: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (Index("ix_publication_migration", "migration", "id"),)


def save(store: Store, publication: Publication) -> None:
    """Save an attempt to publish."""
    with store.begin() as session:
        session.add(to_row(PublicationRow, publication))


def all_of(store: Store, migration: str) -> list[Publication]:
    """Return the attempts to publish, in order."""
    query = select(PublicationRow).where(PublicationRow.migration == migration)
    return all_records(store, Publication, query.order_by(PublicationRow.id))


def after(
    store: Store, migration: str, row_id: int, *, since: datetime
) -> list[tuple[int, Publication]]:
    """Return attempts with their ids, in order: those after an id that began at `since` or later.

    By the id, since an attempt is saved when it ends: a long one comes after shorter ones.
    """
    query = select(PublicationRow).where(
        PublicationRow.migration == migration, PublicationRow.id > row_id,
        PublicationRow.at >= since).order_by(PublicationRow.id)
    with store.read() as session:
        return [(row.id, to_record(Publication, row)) for row in session.scalars(query)]


def latest(store: Store, migration: str) -> Publication | None:
    """Return the newest attempt to publish; None before the first."""
    query = select(PublicationRow).where(PublicationRow.migration == migration)
    return first_record(store, Publication, query.order_by(PublicationRow.id.desc()))
