"""Single places are counted with what was compared; outcomes of any length

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change. Old counts say nothing of how many were compared: they begin anew."""
    op.execute("DELETE FROM divergence_count")
    op.add_column("divergence_count", sa.Column("compared", sa.Integer(), nullable=False,
                                                server_default="0"))
    with op.batch_alter_table("shadow_coverage") as coverage:
        coverage.alter_column("outcome", existing_type=sa.String(32), type_=sa.String(120),
                              existing_nullable=False)


def downgrade() -> None:
    """Take the change back."""
    op.execute("DELETE FROM divergence_count")
    op.execute("DELETE FROM shadow_coverage WHERE length(outcome) > 32")
    with op.batch_alter_table("shadow_coverage") as coverage:
        coverage.alter_column("outcome", existing_type=sa.String(120), type_=sa.String(32),
                              existing_nullable=False)
    with op.batch_alter_table("divergence_count") as counts:
        counts.drop_column("compared")
