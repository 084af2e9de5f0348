"""What gateway nodes did with their users while they were cut off, and which observer leads

Revision ID: r014
Revises: r013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r014"
down_revision = "r013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a node says it did, up to where that is recorded, and who leads."""
    op.add_column("gateway_node", sa.Column("own_moves", sa.JSON))
    op.add_column(
        "gateway_node", sa.Column("recorded", sa.String(40), nullable=False, server_default=""))
    op.create_table(
        "observer_lead",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
