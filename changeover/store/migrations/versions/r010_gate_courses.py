"""The course of gates while their stages soak

Revision ID: r010
Revises: r009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r010"
down_revision = "r009"
branch_labels = None
depends_on = None

_ID = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Make the table of moments."""
    op.create_table(
        "gate_course",
        sa.Column("cutover_id", _ID, sa.ForeignKey("cutover.id"), primary_key=True),
        sa.Column("stage", sa.String(64), primary_key=True),
        sa.Column("gate", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("checks", sa.JSON, nullable=False),
    )
