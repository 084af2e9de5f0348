"""Times in which nobody is moved to the candidate

Revision ID: r005
Revises: r004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r005"
down_revision = "r004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of freezes."""
    op.create_table(
        "freeze",
        sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"),
                  primary_key=True, autoincrement=True),
        sa.Column("migration", sa.String(63), sa.ForeignKey("migration.name"), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.String(200)),
    )
    op.create_index("ix_freeze_migration", "freeze", ["migration"])
