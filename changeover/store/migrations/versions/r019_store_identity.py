"""Which database this is, for Prefect servers that several use

Revision ID: r019
Revises: r017
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "r019"
down_revision = "r017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give the database a name of its own."""
    table = op.create_table("store_identity", sa.Column("id", sa.String(32), primary_key=True))
    op.bulk_insert(table, [{"id": secrets.token_hex(4)}])
