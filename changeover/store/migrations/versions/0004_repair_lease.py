"""A repair's lease: when an attempt whose holder was killed ends; longer names of systems

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


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("repair") as repair:
        repair.drop_column("lease_until")
        repair.alter_column("system", existing_type=sa.String(63), type_=sa.String(32),
                            existing_nullable=False)
