"""How triggers stand, for people and for an observer that goes on

Revision ID: r003
Revises: r002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r003"
down_revision = "r002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of triggers' standings."""
    op.create_table(
        "trigger_standing",
        sa.Column("migration", sa.String(63), sa.ForeignKey("migration.name"), primary_key=True),
        sa.Column("trigger_name", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stands", sa.String(20), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.Column("value", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
    )
