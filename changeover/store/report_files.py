"""Where reports were written."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.report_files import Report
from changeover.store.base import Base, Name, RowId, first_record, to_row
from changeover.store.engine import Store


class ReportRow(Base):
    """A rendered report's files."""

    __tablename__ = "report"
    id: Mapped[RowId]
    migration: Mapped[Name]
    subject: Mapped[str] = mapped_column(String(20))
    cutover_id: Mapped[int | None] = mapped_column(ForeignKey("cutover.id"))
    at: Mapped[datetime]
    html_path: Mapped[str]
    markdown_path: Mapped[str]
    json_path: Mapped[str]


def save(store: Store, report: Report) -> None:
    """Save where a report was written."""
    with store.begin() as session:
        session.add(to_row(ReportRow, report))


def latest(store: Store, migration: str, subject: str | None = None) -> Report | None:
    """Return the newest report, of one subject if given."""
    query = select(ReportRow).where(ReportRow.migration == migration)
    if subject is not None:
        query = query.where(ReportRow.subject == subject)
    return first_record(store, Report, query.order_by(ReportRow.id.desc()))

