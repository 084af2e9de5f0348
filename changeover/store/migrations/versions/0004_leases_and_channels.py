"""A repair's lease, longer names of systems, and which channels were told of a message

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the change. An attempt under way without a lease counts as lost."""
    with op.batch_alter_table("repair") as repair:
        repair.add_column(sa.Column("lease_until", TIME, nullable=True))
        repair.alter_column("system", existing_type=sa.String(32), type_=sa.String(63),
                            existing_nullable=False)
    op.add_column("message", sa.Column("told", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("message") as message:
        message.drop_column("told")
    with op.batch_alter_table("repair") as repair:
        repair.drop_column("lease_until")
        repair.alter_column("system", existing_type=sa.String(63), type_=sa.String(32),
                            existing_nullable=False)
