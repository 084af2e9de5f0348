"""Redirects, empty answers and their sizes, who met them, and for how long anybody watched

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NEW: dict[str, sa.types.TypeEngine[int] | sa.types.TypeEngine[float]] = {
    "redirects": sa.Integer(), "answers": sa.Integer(), "empty_answers": sa.Integer(),
    "answer_bytes": sa.BigInteger(), "answer_logs": sa.Float(), "watched": sa.Integer(),
    "listened": sa.Integer(),
}


def upgrade() -> None:
    """Apply the change."""
    for name, kind in _NEW.items():
        op.add_column("sample", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("sample", sa.Column("users", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table("sample") as sample:
        for name in (*_NEW, "users"):
            sample.drop_column(name)
