"""The tables of the console: claims, the rollbacks they call for, outcomes and sums, tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from changeover.store.tables import Base


class ClaimRow(Base):
    """Who may act on an item. One row per item for ever: what is done is never claimed again.

    `token` grows with every new holder; `given_to` is the system that an item was handed to.
    """

    __tablename__ = "claim"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    item: Mapped[str] = mapped_column(String(200), primary_key=True)
    status: Mapped[str] = mapped_column(String(8))
    system: Mapped[str] = mapped_column(String(16))
    holder: Mapped[str] = mapped_column(String(120))
    token: Mapped[int] = mapped_column(BigInteger)
    claimed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    given_to: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    epoch: Mapped[int] = mapped_column(Integer)
    __table_args__ = (
        Index(
            "ix_claim_open", "migration", "status",
            sqlite_where=text("status <> 'done'"), postgresql_where=text("status <> 'done'"),
        ),
    )


class WantedRollbackRow(Base):
    """A rollback that a failed item calls for. `version` is the routing state's that it failed in:
    whatever changes the state afterwards, a rollback or a person, makes the wish void."""

    __tablename__ = "wanted_rollback"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class OutcomeRow(Base):
    """One outcome that an application reported; kept so that it counts once."""

    __tablename__ = "outcome"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    system: Mapped[str] = mapped_column(String(16))
    success: Mapped[bool] = mapped_column(Boolean)
    seconds: Mapped[float | None] = mapped_column(Float)
    quality: Mapped[str | None] = mapped_column(Text)
    segments: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("ix_outcome_at", "migration", "at"),)


class OutcomeSumRow(Base):
    """The outcomes of a second or minute, of one system, of all users (segment '') or a segment."""

    __tablename__ = "outcome_sum"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    segment: Mapped[str] = mapped_column(String(63), primary_key=True)
    resolution: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcomes: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    durations: Mapped[str] = mapped_column(Text)
    quality: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_outcome_sum_at", "migration", "resolution", "at"),)


class TokenRow(Base):
    """A token of a migration's console: only sha256 of its secret part is kept."""

    __tablename__ = "console_token"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    migration: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    scope: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(120))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
