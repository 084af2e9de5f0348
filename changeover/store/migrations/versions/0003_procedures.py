"""Procedures around a cutover: validation suites, flags, steps, repairs, messages

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer().with_variant(sa.BigInteger(), "postgresql"),
                     autoincrement=True, nullable=False)


def _needed(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Apply the change."""
    name, word, text = sa.String(63), sa.String(16), sa.Text()
    op.create_table(
        "suite_run", _id(), _needed("migration", name), _needed("suite", name),
        _needed("key", sa.String(200)), _needed("started_at", TIME),
        sa.Column("ended_at", TIME, nullable=True), _needed("verdict", word),
        sa.PrimaryKeyConstraint("id"), sa.UniqueConstraint("key"),
    )
    op.create_index("ix_suite_run_migration", "suite_run", ["migration", "suite", "id"])
    op.create_table(
        "suite_check",
        _needed("run_id", sa.Integer().with_variant(sa.BigInteger(), "postgresql")),
        _needed("number", sa.Integer()), _needed("name", sa.String(200)),
        _needed("kind", sa.String(32)), _needed("verdict", word), _needed("reason", text),
        _needed("evidence", sa.JSON()), _needed("started_at", TIME),
        _needed("seconds", sa.Float()),
        sa.ForeignKeyConstraint(["run_id"], ["suite_run.id"]),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "flag", _needed("migration", name), _needed("environment", name), _needed("name", name),
        _needed("value", sa.JSON()), _needed("plan_value", sa.JSON()),
        _needed("version", sa.Integer()), _needed("changed_at", TIME),
        _needed("changed_by", sa.String(120)),
        sa.PrimaryKeyConstraint("migration", "environment", "name"),
    )
    op.create_table(
        "flag_change", _id(), _needed("migration", name), _needed("environment", name),
        _needed("name", name), _needed("old", sa.JSON()), _needed("new", sa.JSON()),
        _needed("at", TIME), _needed("actor", sa.String(120)), _needed("reason", text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_flag_change", "flag_change", ["migration", "environment", "name", "id"])
    op.create_table(
        "sop_step", _needed("migration", name), _needed("subject", name), _needed("step", name),
        _needed("status", word), _needed("detail", text), _needed("data", sa.JSON()),
        _needed("started_at", TIME), _needed("ended_at", TIME),
        sa.PrimaryKeyConstraint("migration", "subject", "step"),
    )
    op.create_table(
        "repair", _id(), _needed("migration", name), _needed("issue", name),
        _needed("system", sa.String(32)), _needed("attempt", sa.Integer()),
        _needed("status", word), _needed("detail", text), _needed("started_at", TIME),
        sa.Column("ended_at", TIME, nullable=True), sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_repair", "repair", ["migration", "issue", "id"])
    op.create_table(
        "message", _id(), _needed("migration", name), _needed("key", sa.String(200)),
        _needed("severity", word), _needed("title", text), _needed("body", text),
        _needed("at", TIME), _needed("is_sent", sa.Boolean()), _needed("attempts", sa.Integer()),
        _needed("next_at", TIME), _needed("problem", text), sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_message_due", "message", ["migration", "is_sent", "next_at"])
    op.create_index("ix_message_key", "message", ["migration", "key", "at"])


def downgrade() -> None:
    """Take the change back."""
    for table in ("message", "repair", "sop_step", "flag_change", "flag", "suite_check",
                  "suite_run"):
        op.drop_table(table)
