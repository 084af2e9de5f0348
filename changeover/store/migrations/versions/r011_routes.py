"""Where named routes stand, each by itself

Revision ID: r011
Revises: r010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r011"
down_revision = "r010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing in it says that no route has moved by itself."""
    op.add_column("routing_state", sa.Column("routes", sa.JSON(none_as_null=True), nullable=True))
