"""The console: claims, outcomes and their sums, tokens

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _needed(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Apply the change."""
    name, word, text = sa.String(63), sa.String(16), sa.Text()
    op.create_table(
        "claim", _needed("migration", name), _needed("item", sa.String(200)),
        _needed("status", sa.String(8)), _needed("system", word),
        _needed("holder", sa.String(120)), _needed("token", sa.BigInteger()),
        _needed("claimed_at", TIME), _needed("expires_at", TIME), _needed("given_to", word),
        _needed("reason", text), _needed("epoch", sa.Integer()),
        sa.PrimaryKeyConstraint("migration", "item"),
    )
    is_open = sa.text("status <> 'done'")
    op.create_index("ix_claim_open", "claim", ["migration", "status"], sqlite_where=is_open,
                    postgresql_where=is_open)
    op.create_table(
        "outcome", _needed("migration", name), _needed("id", sa.String(128)),
        _needed("at", sa.BigInteger()), _needed("system", word), _needed("success", sa.Boolean()),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("quality", text, nullable=True), _needed("segments", text),
        sa.PrimaryKeyConstraint("migration", "id"),
    )
    op.create_index("ix_outcome_at", "outcome", ["migration", "at"])
    op.create_table(
        "outcome_sum", _needed("migration", name), _needed("system", word),
        _needed("segment", name), _needed("resolution", sa.Integer()),
        _needed("at", sa.BigInteger()), _needed("outcomes", sa.Integer()),
        _needed("failures", sa.Integer()), _needed("durations", text),
        _needed("quality", sa.JSON()),
        sa.PrimaryKeyConstraint("migration", "system", "segment", "resolution", "at"),
    )
    op.create_index("ix_outcome_sum_at", "outcome_sum", ["migration", "resolution", "at"])
    op.create_table(
        "console_token", _needed("id", word), _needed("name", name),
        _needed("scope", sa.String(8)), _needed("digest", sa.String(64)),
        _needed("created_at", TIME), _needed("created_by", sa.String(120)),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True), sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """Take the change back."""
    for table in ("console_token", "outcome_sum", "outcome", "claim"):
        op.drop_table(table)
