"""Lists of users that segments take from files

Revision ID: r013
Revises: r012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r013"
down_revision = "r012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of lists."""
    op.create_table(
        "user_list",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
