"""Which epoch of its leaders a member's users were moved in

Revision ID: r006
Revises: r005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r006"
down_revision = "r005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of followed epochs."""
    op.create_table(
        "followed",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("leader", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("leader_epoch", sa.Integer, nullable=False),
    )
    op.create_index("ix_followed_leader", "followed", ["leader"])
