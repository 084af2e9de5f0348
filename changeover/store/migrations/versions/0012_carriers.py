"""Which flow run carries what is not done, and how that run ended

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_RUNNING_CUTOVERS = """
INSERT INTO carrier (migration, subject, flow, flow_run_id, since, "end", said)
SELECT migration, 'cutover ' || id, 'cutover', flow_run_id, started_at, '', ''
FROM cutover WHERE status = 'running' AND flow_run_id IS NOT NULL
"""
_RUNNING_ROLLBACKS = """
INSERT INTO carrier (migration, subject, flow, flow_run_id, since, "end", said)
SELECT migration, 'rollback ' || id, 'rollback', flow_run_id, started_at, '', ''
FROM rollback WHERE ended_at IS NULL AND flow_run_id IS NOT NULL
"""
_WAITING_RETIREMENTS = """
INSERT INTO carrier (migration, subject, flow, flow_run_id, since, "end", said)
SELECT cutover.migration, 'retirement ' || cutover.id, 'deprecation', MAX(approval.flow_run_id),
       MAX(approval.asked_at), '', ''
FROM approval JOIN cutover ON cutover.id = approval.cutover_id
WHERE cutover.status = 'promoted' AND approval.stage = 'retire' AND approval.decision IS NULL
      AND approval.flow_run_id IS NOT NULL
GROUP BY cutover.migration, cutover.id
"""


def upgrade() -> None:
    """Apply the change; what is not done at this moment gets its rows."""
    op.create_table(
        "carrier",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("subject", sa.String(80), primary_key=True),
        sa.Column("flow", sa.String(32), nullable=False),
        sa.Column("flow_run_id", sa.String(64), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end", sa.String(16), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.execute(_RUNNING_CUTOVERS)
    op.execute(_RUNNING_ROLLBACKS)
    op.execute(_WAITING_RETIREMENTS)


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("carrier")
