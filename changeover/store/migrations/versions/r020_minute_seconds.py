"""Which seconds of which gateway are in a minute of measurements

Revision ID: r020
Revises: r019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r020"
down_revision = "r019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; minutes of before have no row in it."""
    op.create_table(
        "minute_seconds",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("system", sa.String(16), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("gateways", sa.JSON, nullable=False),
        sa.Column("is_closed", sa.Boolean, nullable=False),
    )
