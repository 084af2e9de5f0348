"""Comparisons whose answers are kept are found without a look at all others

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEPT = sa.text("answers IS NOT NULL")


def upgrade() -> None:
    """Apply the change."""
    op.create_index("ix_comparison_kept", "comparison", ["migration", "id"],
                    sqlite_where=KEPT, postgresql_where=KEPT)


def downgrade() -> None:
    """Undo the change."""
    op.drop_index("ix_comparison_kept", "comparison")
