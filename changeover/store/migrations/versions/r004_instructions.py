"""What people tell a running cutover to do

Revision ID: r004
Revises: r003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r004"
down_revision = "r003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of instructions."""
    op.create_table(
        "instruction",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"),
                  primary_key=True, autoincrement=True),
        sa.Column("cutover_id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"),
                  sa.ForeignKey("cutover.id"), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage", sa.String(64), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Integer, nullable=False),
    )
    op.create_index("ix_instruction_cutover_id", "instruction", ["cutover_id"])
