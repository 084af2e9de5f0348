"""Which flow run waits for an approval

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("approval", sa.Column("flow_run_id", sa.String(64), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("approval") as approval:
        approval.drop_column("flow_run_id")
