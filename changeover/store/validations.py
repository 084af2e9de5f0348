"""Runs of validation suites and what each check found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.suites import SuiteCheck, SuiteRun, SuiteVerdict
from changeover.store import audit
from changeover.store.base import Base, Name, RowId, all_records, first_record, to_record, to_row
from changeover.store.engine import Store


class SuiteRunRow(Base):
    """One run of a validation suite; `key` makes a flow run's repetition the same run."""

    __tablename__ = "suite_run"
    id: Mapped[RowId]
    migration: Mapped[Name]
    suite: Mapped[Name]
    key: Mapped[str] = mapped_column(String(200), unique=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    verdict: Mapped[str] = mapped_column(String(16))
    __table_args__ = (Index("ix_suite_run_migration", "migration", "suite", "id"),)


class SuiteCheckRow(Base):
    """One check of a suite's run with everything that it found."""

    __tablename__ = "suite_check"
    run_id: Mapped[int] = mapped_column(ForeignKey("suite_run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(32))
    verdict: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    seconds: Mapped[float]



def begin(store: Store, migration: str, suite: str, *, key: str, now: datetime) -> SuiteRun:
    """Open a run, or return the one with this key that was opened before."""
    with store.begin() as session:
        row = session.scalar(select(SuiteRunRow).filter_by(key=key))
        if row is None:
            row = SuiteRunRow(migration=migration, suite=suite, key=key, started_at=now,
                              verdict=SuiteVerdict.RUNNING)
            session.add(row)
            session.flush()
        return to_record(SuiteRun, row)


def of_key(store: Store, key: str) -> SuiteRun | None:
    """Return the run that was opened with this key, None when there is none."""
    return first_record(store, SuiteRun, select(SuiteRunRow).filter_by(key=key))


def save_check(store: Store, check: SuiteCheck) -> None:
    """Save a check's result; the first one of a run stands."""
    with store.begin() as session:
        # a flow run that was killed repeats the check; the result that people saw stands
        if session.get(SuiteCheckRow, (check.run_id, check.number)) is None:
            session.add(to_row(SuiteCheckRow, check))


def finish(
    store: Store, run_id: int, *, verdict: SuiteVerdict, actor: str, now: datetime
) -> SuiteRun:
    """Close a run with its verdict; the first end stands."""
    with store.begin() as session:
        row = session.get_one(SuiteRunRow, run_id)
        if row.ended_at is None:
            row.verdict, row.ended_at = verdict, now
            audit.append(session, row.migration, NewEvent(
                actor=actor, kind=f"suite.{verdict}", at=now,
                data={"suite": row.suite, "run": run_id}))
        return to_record(SuiteRun, row)


def checks(store: Store, run_id: int) -> list[SuiteCheck]:
    """Return a run's results in the plan's order."""
    query = select(SuiteCheckRow).filter_by(run_id=run_id).order_by(SuiteCheckRow.number)
    return all_records(store, SuiteCheck, query)


def latest(store: Store, migration: str, suite: str | None = None) -> SuiteRun | None:
    """Return the newest run, of one suite if given."""
    query = select(SuiteRunRow).filter_by(migration=migration)
    if suite is not None:
        query = query.filter_by(suite=suite)
    return first_record(store, SuiteRun, query.order_by(SuiteRunRow.id.desc()))


def newest_checks(store: Store, migration: str, kind: str, *, limit: int) -> list[SuiteCheck]:
    """Return the newest results of checks of a kind, the newest first."""
    query = (
        select(SuiteCheckRow).join(SuiteRunRow, SuiteRunRow.id == SuiteCheckRow.run_id)
        .where(SuiteRunRow.migration == migration, SuiteCheckRow.kind == kind)
        .order_by(SuiteCheckRow.started_at.desc()).limit(limit)
    )
    return all_records(store, SuiteCheck, query)


def get(store: Store, run_id: int) -> SuiteRun | None:
    """Return a run, None when there is none."""
    return first_record(store, SuiteRun, select(SuiteRunRow).filter_by(id=run_id))


def of_subject(store: Store, migration: str, subject: str) -> list[SuiteRun]:
    """Return the runs of suites that belong to a subject (`cutover 7`), oldest first."""
    query = select(SuiteRunRow).where(
        SuiteRunRow.migration == migration,
        # with the blank behind it: `cutover 1` is not the beginning of `cutover 12`
        SuiteRunRow.key.startswith(f"{migration} {subject} ", autoescape=True))
    return all_records(store, SuiteRun, query.order_by(SuiteRunRow.id))
