"""How far each receiver of decisions has come

Revision ID: r008
Revises: r007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r008"
down_revision = "r007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of places in the audit."""
    op.create_table(
        "relay",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("target", sa.String(80), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("given_up", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(80), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
    )
