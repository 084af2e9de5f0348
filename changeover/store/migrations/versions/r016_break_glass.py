"""Where glass is broken at a gateway node from another machine

Revision ID: r016
Revises: r015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r016"
down_revision = "r015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the address that a node says."""
    op.add_column("gateway_node", sa.Column(
        "break_glass_url", sa.Text, nullable=False, server_default=""))
