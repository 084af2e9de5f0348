"""Sums by bucket, for verdicts that may be read at any time

Revision ID: r002
Revises: r001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r002"
down_revision = "r001"
branch_labels = None
depends_on = None

_ID = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Make the tables of bucket sums."""
    op.create_table(
        "bucket_slice",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("gateway", sa.String(63), primary_key=True),
        sa.Column("weight", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("sums", sa.LargeBinary, nullable=False),
        sa.Column("excluded", sa.JSON, nullable=False),
    )
    op.create_table(
        "bucket_log_place",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("gateway", sa.String(63), primary_key=True),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "slow_bound",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("condition", sa.String(120), primary_key=True),
        sa.Column("baseline_us", sa.BigInteger, nullable=False),
        sa.Column("candidate_us", sa.BigInteger, nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "gate_standing",
        sa.Column("cutover_id", _ID, sa.ForeignKey("cutover.id"), primary_key=True),
        sa.Column("stage", sa.String(64), primary_key=True),
        sa.Column("gate", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
    )
    op.create_table(
        "gate_verdict_sums",
        sa.Column("verdict_id", _ID, sa.ForeignKey("gate_verdict.id"), primary_key=True),
        sa.Column("sums", sa.LargeBinary, nullable=False),
    )
