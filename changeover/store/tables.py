"""The tables, as SQLAlchemy 2 models. Every change of them is an Alembic migration beside this.

Times are aware UTC datetimes, stored without a zone on SQLite and read back aware on both.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime that goes in aware and comes out aware, in UTC, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; hand UTC to the driver."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone was given to the store")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = Integer().with_variant(BigInteger(), "postgresql")


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it from the class
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[dict[str, Any]]: JSON(),
        list[str]: JSON(),
    }


class MigrationRow(Base):
    """A migration and its plan as JSON; `digest` is sha256 of that JSON."""

    __tablename__ = "migration"
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    plan: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(Text)
    registered_at: Mapped[datetime]


class RoutingRow(Base):
    """The one routing state of a migration."""

    __tablename__ = "routing_state"
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"), primary_key=True)
    mode: Mapped[str] = mapped_column(String(32))
    weight: Mapped[int] = mapped_column(Integer)
    segments: Mapped[list[str]]
    maintenance: Mapped[bool] = mapped_column(Boolean)
    maintenance_reason: Mapped[str] = mapped_column(Text)
    shadow_sample: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[int] = mapped_column(Integer)
    changed_at: Mapped[datetime]


class AuditHeadRow(Base):
    """The newest link of each chain: a truncated tail does not match it."""

    __tablename__ = "audit_head"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer)
    hash: Mapped[str] = mapped_column(String(64))


class AuditRow(Base):
    """One audit event; rows are never changed or deleted (triggers refuse it).

    `data` is canonical JSON text, so that the hash can be recomputed to the byte.
    """

    __tablename__ = "audit_event"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(80))
    data: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    once_key: Mapped[str | None] = mapped_column(String(200))
    __table_args__ = (UniqueConstraint("migration", "once_key", name="uq_audit_once"),)


class CutoverRow(Base):
    """One cutover; the partial unique index allows one running cutover per migration."""

    __tablename__ = "cutover"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    epoch: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(20))
    flow_run_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(Text)
    __table_args__ = (
        Index(
            "uq_cutover_running",
            "migration",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )


class StageRow(Base):
    """One stage of a cutover."""

    __tablename__ = "stage"
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    index: Mapped[int] = mapped_column("stage_index", Integer)
    status: Mapped[str] = mapped_column(String(20))
    entered_at: Mapped[datetime]
    soak_until: Mapped[datetime]
    round: Mapped[int] = mapped_column(Integer)
    rechecks: Mapped[int] = mapped_column(Integer)
    decided_at: Mapped[datetime | None]
    decision: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)


class VerdictRow(Base):
    """One look at one gate."""

    __tablename__ = "gate_verdict"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"))
    stage: Mapped[str] = mapped_column(String(64))
    gate: Mapped[str] = mapped_column(String(64))
    round: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    evidence: Mapped[list[dict[str, Any]]]
    __table_args__ = (
        UniqueConstraint("cutover_id", "stage", "gate", "round", "attempt", name="uq_verdict"),
    )


class ApprovalRow(Base):
    """One question to one approver."""

    __tablename__ = "approval"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    cutover_id: Mapped[int] = mapped_column(ForeignKey("cutover.id"))
    stage: Mapped[str] = mapped_column(String(64))
    round: Mapped[int] = mapped_column(Integer)
    ordinal: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[int] = mapped_column(Integer)
    question: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    decision: Mapped[str | None] = mapped_column(String(20))
    approver: Mapped[str | None] = mapped_column(String(200))
    comment: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(40))
    answered_at: Mapped[datetime | None]
    is_void: Mapped[bool] = mapped_column(Boolean)
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        UniqueConstraint("cutover_id", "stage", "round", "ordinal", name="uq_approval"),
    )


class SampleRow(Base):
    """What one gateway measured of one system in one second (resolution 1) or minute (60)."""

    __tablename__ = "sample"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    resolution: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(63), primary_key=True)
    requests: Mapped[int] = mapped_column(Integer)
    client_errors: Mapped[int] = mapped_column(Integer)
    user_errors: Mapped[int] = mapped_column(Integer)
    redirects: Mapped[int] = mapped_column(Integer, server_default="0")
    answers: Mapped[int] = mapped_column(Integer, server_default="0")
    empty_answers: Mapped[int] = mapped_column(Integer, server_default="0")
    answer_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    answer_logs: Mapped[float] = mapped_column(Float, server_default="0")
    users: Mapped[dict[str, Any]] = mapped_column(JSON, server_default="{}")
    watched: Mapped[int] = mapped_column(Integer, server_default="0")
    listened: Mapped[int] = mapped_column(Integer, server_default="0")
    errors: Mapped[dict[str, Any]]
    latency: Mapped[str] = mapped_column(Text)
    probes: Mapped[int] = mapped_column(Integer)
    probes_up: Mapped[int] = mapped_column(Integer)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    cpu_cores: Mapped[float | None] = mapped_column(Float)
    compared: Mapped[int] = mapped_column(Integer, server_default="0")
    matched: Mapped[int] = mapped_column(Integer, server_default="0")
    similarity: Mapped[float] = mapped_column(Float, server_default="0")


class UserErrorRow(Base):
    """The first error of each user on each system: the user is the statistical unit."""

    __tablename__ = "user_first_error"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_hash: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]


class FiringRow(Base):
    """A trigger that fired; rollback triggers fire once per epoch."""

    __tablename__ = "trigger_firing"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    trigger: Mapped[str] = mapped_column("trigger_name", String(64))
    action: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[dict[str, Any]]
    evidence_complete_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    epoch: Mapped[int] = mapped_column(Integer)
    published_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_firing_migration", "migration", "fired_at"),)


class RollbackRow(Base):
    """One rollback per migration and epoch."""

    __tablename__ = "rollback"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(ForeignKey("migration.name"))
    epoch: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(String(20))
    scope: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    cutover_id: Mapped[int | None] = mapped_column(ForeignKey("cutover.id"))
    ended_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(String(20))
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    is_handed_over: Mapped[bool] = mapped_column(Boolean)
    lease_until: Mapped[datetime | None]
    analysis: Mapped[dict[str, Any]]
    __table_args__ = (UniqueConstraint("migration", "epoch", name="uq_rollback_epoch"),)


class RollbackStepRow(Base):
    """One step of a rollback."""

    __tablename__ = "rollback_step"
    rollback_id: Mapped[int] = mapped_column(ForeignKey("rollback.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    status: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


class HealthRow(Base):
    """One result of one health check."""

    __tablename__ = "health_result"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    check: Mapped[str] = mapped_column("check_name", String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]


class HeartbeatRow(Base):
    """The last sign of life of each service."""

    __tablename__ = "heartbeat"
    service: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[datetime]
    pid: Mapped[int] = mapped_column(Integer)
    detail: Mapped[str] = mapped_column(Text)


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


class ReportRow(Base):
    """A rendered report's files."""

    __tablename__ = "report"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    subject: Mapped[str] = mapped_column(String(20))
    cutover_id: Mapped[int | None] = mapped_column(ForeignKey("cutover.id"))
    at: Mapped[datetime]
    html_path: Mapped[str] = mapped_column(Text)
    markdown_path: Mapped[str] = mapped_column(Text)
    json_path: Mapped[str] = mapped_column(Text)


class ComparisonRow(Base):
    """One comparison of the two systems' answers to one request; bodies only while they are kept.

    `answers` has both answers, masked, as a shadow answer is kept to be scored again.
    """

    __tablename__ = "comparison"
    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=True)
    migration: Mapped[str] = mapped_column(String(63))
    at: Mapped[datetime]
    request: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(64))
    similarity: Mapped[float] = mapped_column(Float)
    is_match: Mapped[bool] = mapped_column(Boolean)
    divergences: Mapped[int] = mapped_column(Integer)
    ignored: Mapped[int] = mapped_column(Integer)
    baseline_seconds: Mapped[float] = mapped_column(Float)
    candidate_seconds: Mapped[float] = mapped_column(Float)
    error: Mapped[str] = mapped_column(Text)
    answers: Mapped[bytes | None] = mapped_column(LargeBinary)
    __table_args__ = (
        Index("ix_comparison_migration", "migration", "id"),
        Index("ix_comparison_kept", "migration", "id", sqlite_where=text("answers IS NOT NULL"),
              postgresql_where=text("answers IS NOT NULL")),
    )


class DivergenceRow(Base):
    """How often the answers differ at one place, since the rules were last changed.

    `field_hash` is sha256 of the normalised path; `counts` has the number of each kind.
    """

    __tablename__ = "divergence"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    field_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    field: Mapped[str] = mapped_column(Text)
    diverged: Mapped[int] = mapped_column(Integer)
    ignored: Mapped[int] = mapped_column(Integer)
    only_candidate: Mapped[int] = mapped_column(Integer)
    only_baseline: Mapped[int] = mapped_column(Integer)
    both: Mapped[int] = mapped_column(Integer)
    counts: Mapped[dict[str, Any]]
    examples: Mapped[list[dict[str, Any]]]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]


class DivergenceCountRow(Base):
    """How many comparisons of ten seconds there were, and diverged at a place that a gate names.

    `field_hash` is sha256 of the path, as the gate or trigger writes it.
    """

    __tablename__ = "divergence_count"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    field_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    diverged: Mapped[int] = mapped_column(Integer)
    compared: Mapped[int] = mapped_column(Integer, server_default="0")


class CoverageRow(Base):
    """What became of tapped requests since the rules were last changed: the score's coverage."""

    __tablename__ = "shadow_coverage"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(120), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
