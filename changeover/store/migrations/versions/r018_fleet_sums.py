"""Which seconds of a migration with gateway nodes are summed over all gateways

Revision ID: r018
Revises: r017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r018"
down_revision = "r017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the span of seconds that stand as sums."""
    op.create_table(
        "fleet_sum",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("main_until", sa.BigInteger, nullable=False),
    )
