"""The tables of the procedures around a cutover: suites, flags, backups, repairs, messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from changeover.store.tables import Base, Id


class SuiteRunRow(Base):
    """One run of a validation suite; `key` makes a flow run's repetition the same run."""

    __tablename__ = "suite_run"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    suite: Mapped[str] = mapped_column(String(63))
    key: Mapped[str] = mapped_column(String(200), unique=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    verdict: Mapped[str] = mapped_column(String(16))
    __table_args__ = (Index("ix_suite_run_migration", "migration", "suite", "id"),)


class SuiteCheckRow(Base):
    """One check of a suite's run with everything that it found."""

    __tablename__ = "suite_check"
    run_id: Mapped[int] = mapped_column(ForeignKey("suite_run.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(32))
    verdict: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    seconds: Mapped[float] = mapped_column(Float)


class FlagRow(Base):
    """A flag's value; `plan_value` is what the plan says, so that a change by hand shows."""

    __tablename__ = "flag"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    environment: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    plan_value: Mapped[Any] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(Integer)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(120))


class FlagChangeRow(Base):
    """One change of a flag: who, when, why, old and new."""

    __tablename__ = "flag_change"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    old: Mapped[Any] = mapped_column(JSON)
    new: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_flag_change", "migration", "environment", "name", "id"),)


class SopStepRow(Base):
    """A step of a procedure: `subject` is `cutover-7` or `rehearsal-3`."""

    __tablename__ = "sop_step"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    subject: Mapped[str] = mapped_column(String(63), primary_key=True)
    step: Mapped[str] = mapped_column(String(63), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


class RepairRow(Base):
    """One attempt to repair something; `lease_until` is when it is lost if it has not ended."""

    __tablename__ = "repair"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    issue: Mapped[str] = mapped_column(String(63))
    system: Mapped[str] = mapped_column(String(63))
    attempt: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    __table_args__ = (Index("ix_repair", "migration", "issue", "id"),)


class MessageRow(Base):
    """A message to people; `key` keeps it from being sent twice, `told` names who has it."""

    __tablename__ = "message"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    key: Mapped[str] = mapped_column(String(200))
    severity: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    is_sent: Mapped[bool] = mapped_column(Boolean)
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime]
    problem: Mapped[str] = mapped_column(Text)
    told: Mapped[list[str] | None] = mapped_column(JSON)
    __table_args__ = (
        Index("ix_message_due", "migration", "is_sent", "next_at"),
        Index("ix_message_key", "migration", "key", "at"),
    )


class CarrierRow(Base):
    """A piece of work that is not done; `end` is empty while its flow run carries it."""

    __tablename__ = "carrier"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    flow: Mapped[str] = mapped_column(String(32))
    flow_run_id: Mapped[str] = mapped_column(String(64))
    since: Mapped[datetime]
    end: Mapped[str] = mapped_column(String(16))
    said: Mapped[str] = mapped_column(Text)
