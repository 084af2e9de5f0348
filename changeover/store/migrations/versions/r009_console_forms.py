"""How people signed in at the console, and the forms that they sent there

Revision ID: r009
Revises: r008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r009"
down_revision = "r008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add how a session began, and make the table of forms."""
    op.add_column("console_session", sa.Column(
        "source", sa.String(40), nullable=False, server_default="oidc"))
    op.create_table(
        "console_form",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("migration", sa.String(63), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("is_done", sa.Boolean, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
