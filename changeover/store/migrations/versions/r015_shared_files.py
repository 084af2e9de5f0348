"""Rendered reports, so that any console can show them, and whether they were copied

Revision ID: r015
Revises: r014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r015"
down_revision = "r014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of files that any machine may show."""
    op.create_table(
        "shared_file",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("packed_size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("sent_to", sa.Text, nullable=False, server_default=""),
        sa.Column("sent", sa.String(64), nullable=False, server_default=""),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
