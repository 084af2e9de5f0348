"""Gateways on other machines, and what was said of them when a state was published

Revision ID: r012
Revises: r011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r012"
down_revision = "r011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of nodes."""
    op.create_table(
        "gateway_node",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("home", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer),
        sa.Column("version", sa.Integer),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("measured_until", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
    # which nodes confirmed a publication; those of before had none
    op.add_column("publication", sa.Column("nodes", sa.Text, nullable=False, server_default=""))
