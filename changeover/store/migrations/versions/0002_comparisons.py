"""Comparisons: their rows, what differs, coverage, and their sums among the samples

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    for name, kind in (
        ("compared", sa.Integer()), ("matched", sa.Integer()), ("similarity", sa.Float())
    ):
        op.add_column("sample", sa.Column(name, kind, nullable=False, server_default="0"))
    op.create_table(
        "comparison",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"),
                  autoincrement=True, nullable=False),
        sa.Column("migration", sa.String(length=63), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.Column("is_match", sa.Boolean(), nullable=False),
        sa.Column("divergences", sa.Integer(), nullable=False),
        sa.Column("ignored", sa.Integer(), nullable=False),
        sa.Column("baseline_seconds", sa.Float(), nullable=False),
        sa.Column("candidate_seconds", sa.Float(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_comparison_migration", "comparison", ["migration", "id"])
    op.create_table(
        "divergence",
        sa.Column("migration", sa.String(length=63), nullable=False),
        sa.Column("field_hash", sa.String(length=64), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in
          ("diverged", "ignored", "only_candidate", "only_baseline", "both")),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("examples", sa.JSON(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("migration", "field_hash"),
    )
    op.create_table(
        "divergence_count",
        sa.Column("migration", sa.String(length=63), nullable=False),
        sa.Column("field_hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("diverged", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("migration", "field_hash", "at"),
    )
    op.create_table(
        "shadow_coverage",
        sa.Column("migration", sa.String(length=63), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("migration", "outcome"),
    )


def downgrade() -> None:
    """Take the change back."""
    for table in ("shadow_coverage", "divergence_count", "divergence", "comparison"):
        op.drop_table(table)
    with op.batch_alter_table("sample") as sample:
        for name in ("compared", "matched", "similarity"):
            sample.drop_column(name)
