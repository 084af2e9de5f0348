"""Tokens belong to a migration; rollbacks that a failed item calls for

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change. Known tokens belong to the migration whose audit tells of their making."""
    op.create_table(
        "wanted_rollback", sa.Column("migration", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("migration", "version"),
    )
    op.add_column("console_token", sa.Column("migration", sa.String(63), nullable=True))
    op.execute("""
        UPDATE console_token SET migration = COALESCE((
            SELECT MIN(migration) FROM audit_event WHERE kind = 'token.created'
            AND data LIKE '%"id":"' || console_token.id || '"%'
        ), '')
    """)
    with op.batch_alter_table("console_token") as token:
        token.alter_column("migration", existing_type=sa.String(63), nullable=False)


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("console_token") as token:
        token.drop_column("migration")
    op.drop_table("wanted_rollback")
