"""What the main machine's gateway serves, for flows and observers on other machines

Revision ID: r017
Revises: r016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r017"
down_revision = "r016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the main gateway's row, and on which machine a sign of life was given."""
    op.create_table(
        "main_gateway",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer),
        sa.Column("version", sa.Integer),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("pages", sa.JSON, nullable=False),
    )
    op.add_column(
        "heartbeat", sa.Column("machine", sa.String(64), nullable=False, server_default=""))
