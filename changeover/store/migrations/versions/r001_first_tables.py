"""The first tables

Revision ID: r001
Revises:
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables."""
    _routing()
    _cutovers()
    _rollbacks()
    _measurements()
    _comparisons()
    _procedures()
    _flags()
    _operations()
    _console()
    _protect_audit()


def _routing() -> None:
    """The plan, where traffic goes, who changed it."""
    op.create_table(
        "migration",
        sa.Column("name", sa.String(63), primary_key=True),
        _needed("plan", sa.JSON),
        _needed("digest", sa.String(64)),
        _needed("source", sa.Text),
        _needed("registered_at", TIME),
    )
    op.create_table(
        "routing_state",
        sa.Column("migration", sa.String(63), sa.ForeignKey("migration.name"), primary_key=True),
        _needed("mode", sa.String(32)),
        _needed("weight", sa.Integer),
        _needed("segments", sa.JSON),
        _needed("maintenance", sa.Boolean),
        _needed("maintenance_reason", sa.Text),
        _needed("shadow_sample", sa.Integer),
        _needed("version", sa.Integer),
        _needed("epoch", sa.Integer),
        _needed("changed_at", TIME),
    )
    op.create_table(
        "audit_head",
        sa.Column("migration", sa.String(63), primary_key=True),
        _needed("seq", sa.Integer),
        _needed("hash", sa.String(64)),
    )
    op.create_table(
        "audit_event",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        _needed("at", sa.String(40)),
        _needed("actor", sa.Text),
        _needed("kind", sa.String(80)),
        _needed("data", sa.Text),
        _needed("previous_hash", sa.String(64)),
        _needed("hash", sa.String(64)),
        sa.Column("once_key", sa.String(200)),
        sa.UniqueConstraint("migration", "once_key", name="uq_audit_once"),
    )


def _cutovers() -> None:
    """Cutovers with their stages, verdicts and approvals; who runs them."""
    op.create_table(
        "cutover",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63), sa.ForeignKey("migration.name")),
        _needed("epoch", sa.Integer),
        _needed("status", sa.String(20)),
        sa.Column("flow_run_id", sa.String(64), unique=True),
        _needed("started_at", TIME),
        sa.Column("ended_at", TIME),
        _needed("outcome", sa.Text),
    )
    _index_where(
        "status = 'running'", "uq_cutover_running", "cutover", ["migration"], unique=True)
    op.create_table(
        "stage",
        sa.Column("cutover_id", ID, sa.ForeignKey("cutover.id"), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        _needed("stage_index", sa.Integer),
        _needed("status", sa.String(20)),
        _needed("entered_at", TIME),
        _needed("soak_until", TIME),
        _needed("round", sa.Integer),
        _needed("rechecks", sa.Integer),
        sa.Column("decided_at", TIME),
        _needed("reason", sa.Text),
    )
    op.create_table(
        "gate_verdict",
        sa.Column("id", ID, primary_key=True),
        _needed("cutover_id", ID, sa.ForeignKey("cutover.id")),
        _needed("stage", sa.String(64)),
        _needed("gate", sa.String(64)),
        _needed("round", sa.Integer),
        _needed("attempt", sa.Integer),
        _needed("verdict", sa.String(20)),
        _needed("reason", sa.Text),
        _needed("at", TIME),
        _needed("evidence", sa.JSON),
        sa.UniqueConstraint("cutover_id", "stage", "gate", "round", "attempt", name="uq_verdict"),
    )
    op.create_table(
        "approval",
        sa.Column("id", ID, primary_key=True),
        _needed("cutover_id", ID, sa.ForeignKey("cutover.id")),
        _needed("stage", sa.String(64)),
        _needed("round", sa.Integer),
        _needed("ordinal", sa.Integer),
        _needed("epoch", sa.Integer),
        _needed("question", sa.Text),
        _needed("asked_at", TIME),
        sa.Column("decision", sa.String(20)),
        sa.Column("approver", sa.String(200)),
        _needed("comment", sa.Text),
        _needed("source", sa.String(40)),
        sa.Column("answered_at", TIME),
        _needed("is_void", sa.Boolean),
        sa.Column("flow_run_id", sa.String(64)),
        sa.UniqueConstraint("cutover_id", "stage", "round", "ordinal", name="uq_approval"),
    )
    op.create_table(
        "carrier",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("subject", sa.String(80), primary_key=True),
        _needed("flow", sa.String(32)),
        _needed("flow_run_id", sa.String(64)),
        _needed("since", TIME),
        _needed("end", sa.String(16)),
        _needed("said", sa.Text),
    )
    op.create_table(
        "report",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("subject", sa.String(20)),
        sa.Column("cutover_id", ID, sa.ForeignKey("cutover.id")),
        _needed("at", TIME),
        _needed("html_path", sa.Text),
        _needed("markdown_path", sa.Text),
        _needed("json_path", sa.Text),
    )


def _rollbacks() -> None:
    """Triggers that fired, rollbacks and their steps."""
    op.create_table(
        "trigger_firing",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63), sa.ForeignKey("migration.name")),
        _needed("trigger_name", sa.String(64)),
        _needed("action", sa.String(20)),
        _needed("reason", sa.Text),
        _needed("evidence", sa.JSON),
        _needed("evidence_complete_at", TIME),
        _needed("fired_at", TIME),
        _needed("epoch", sa.Integer),
        sa.Column("published_at", TIME),
    )
    op.create_index("ix_firing_migration", "trigger_firing", ["migration", "fired_at"])
    op.create_table(
        "rollback",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63), sa.ForeignKey("migration.name")),
        _needed("epoch", sa.Integer),
        _needed("reason", sa.Text),
        _needed("severity", sa.String(20)),
        _needed("scope", sa.String(64)),
        _needed("actor", sa.Text),
        _needed("started_at", TIME),
        sa.Column("cutover_id", ID, sa.ForeignKey("cutover.id")),
        sa.Column("ended_at", TIME),
        _needed("status", sa.String(20)),
        sa.Column("flow_run_id", sa.String(64)),
        _needed("is_handed_over", sa.Boolean),
        sa.Column("lease_until", TIME),
        _needed("analysis", sa.JSON),
        sa.UniqueConstraint("migration", "epoch", name="uq_rollback_epoch"),
    )
    op.create_table(
        "wanted_rollback",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        _needed("reason", sa.Text),
        _needed("at", TIME),
    )


def _measurements() -> None:
    """What gateways measured, and their publications."""
    op.create_table(
        "sample",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("system", sa.String(16), primary_key=True),
        sa.Column("resolution", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("gateway", sa.String(63), primary_key=True),
        _needed("watched", sa.Integer),
        _needed("listened", sa.Integer),
        _needed("measured", sa.JSON),
        _needed("compared", sa.Integer),
        _needed("matched", sa.Integer),
        _needed("similarity", sa.Float),
    )
    op.create_table(
        "user_first_error",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("system", sa.String(16), primary_key=True),
        sa.Column("user_hash", sa.String(32), primary_key=True),
        _needed("at", TIME),
    )
    op.create_table(
        "publication",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("epoch", sa.Integer),
        _needed("version", sa.Integer),
        _needed("at", TIME),
        _needed("is_confirmed", sa.Boolean),
        _needed("seconds", sa.Float),
        _needed("error", sa.Text),
    )
    op.create_index("ix_publication_migration", "publication", ["migration", "id"])


def _comparisons() -> None:
    """What the shadow service compared."""
    op.create_table(
        "comparison",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("at", TIME),
        _needed("request", sa.Text),
        _needed("request_id", sa.String(64)),
        _needed("similarity", sa.Float),
        _needed("is_match", sa.Boolean),
        _needed("divergences", sa.Integer),
        _needed("ignored", sa.Integer),
        _needed("baseline_seconds", sa.Float),
        _needed("candidate_seconds", sa.Float),
        _needed("error", sa.Text),
        sa.Column("answers", sa.LargeBinary),
    )
    _index_where(
        "answers IS NOT NULL", "ix_comparison_kept", "comparison", ["migration", "id"])
    op.create_index("ix_comparison_migration", "comparison", ["migration", "id"])
    op.create_table(
        "divergence",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("field_hash", sa.String(64), primary_key=True),
        _needed("field", sa.Text),
        _needed("diverged", sa.Integer),
        _needed("ignored", sa.Integer),
        _needed("only_candidate", sa.Integer),
        _needed("only_baseline", sa.Integer),
        _needed("both", sa.Integer),
        _needed("counts", sa.JSON),
        _needed("examples", sa.JSON),
        _needed("first_seen", TIME),
        _needed("last_seen", TIME),
    )
    op.create_table(
        "divergence_count",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("field_hash", sa.String(64), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        _needed("diverged", sa.Integer),
        _needed("compared", sa.Integer, server_default="0"),
    )
    op.create_table(
        "shadow_coverage",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("outcome", sa.String(120), primary_key=True),
        _needed("number", sa.BigInteger),
    )


def _procedures() -> None:
    """Suites and the steps of procedures."""
    op.create_table(
        "suite_run",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("suite", sa.String(63)),
        _needed("key", sa.String(200), unique=True),
        _needed("started_at", TIME),
        sa.Column("ended_at", TIME),
        _needed("verdict", sa.String(16)),
    )
    op.create_index("ix_suite_run_migration", "suite_run", ["migration", "suite", "id"])
    op.create_table(
        "suite_check",
        sa.Column("run_id", ID, sa.ForeignKey("suite_run.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        _needed("name", sa.String(200)),
        _needed("kind", sa.String(32)),
        _needed("verdict", sa.String(16)),
        _needed("reason", sa.Text),
        _needed("evidence", sa.JSON),
        _needed("started_at", TIME),
        _needed("seconds", sa.Float),
    )
    op.create_table(
        "step",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("subject", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(80), primary_key=True),
        _needed("number", sa.Integer),
        _needed("status", sa.String(16)),
        _needed("detail", sa.Text),
        _needed("data", sa.JSON),
        _needed("started_at", TIME),
        _needed("ended_at", TIME),
    )


def _flags() -> None:
    """Flags and their history."""
    op.create_table(
        "flag",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("environment", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        _needed("value", sa.JSON),
        _needed("plan_value", sa.JSON),
        _needed("version", sa.Integer),
        _needed("changed_at", TIME),
        _needed("changed_by", sa.String(120)),
    )
    op.create_table(
        "flag_change",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("environment", sa.String(63)),
        _needed("name", sa.String(63)),
        _needed("old", sa.JSON),
        _needed("new", sa.JSON),
        _needed("at", TIME),
        _needed("actor", sa.String(120)),
        _needed("reason", sa.Text),
    )
    op.create_index("ix_flag_change", "flag_change", ["migration", "environment", "name", "id"])


def _operations() -> None:
    """Health, repairs, signs of life, messages to people."""
    op.create_table(
        "health_result",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("at", TIME, primary_key=True),
        sa.Column("check_name", sa.String(64), primary_key=True),
        _needed("status", sa.String(20)),
        _needed("detail", sa.Text),
        _needed("data", sa.JSON),
    )
    op.create_table(
        "heartbeat",
        sa.Column("service", sa.String(80), primary_key=True),
        _needed("at", TIME),
        _needed("pid", sa.Integer),
        _needed("detail", sa.Text),
    )
    op.create_table(
        "repair",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("issue", sa.String(63)),
        _needed("system", sa.String(63)),
        _needed("attempt", sa.Integer),
        _needed("status", sa.String(16)),
        _needed("detail", sa.Text),
        _needed("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("lease_until", TIME),
    )
    op.create_index("ix_repair", "repair", ["migration", "issue", "id"])
    op.create_table(
        "message",
        sa.Column("id", ID, primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("key", sa.String(200)),
        _needed("severity", sa.String(16)),
        _needed("title", sa.Text),
        _needed("body", sa.Text),
        _needed("at", TIME),
        _needed("is_sent", sa.Boolean),
        _needed("attempts", sa.Integer),
        _needed("next_at", TIME),
        _needed("problem", sa.Text),
        sa.Column("told", sa.JSON),
    )
    op.create_index("ix_message_due", "message", ["migration", "is_sent", "next_at"])
    op.create_index("ix_message_key", "message", ["migration", "key", "at"])


def _console() -> None:
    """Claims, outcomes and tokens of the console."""
    op.create_table(
        "claim",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("item", sa.String(200), primary_key=True),
        _needed("status", sa.String(8)),
        _needed("system", sa.String(16)),
        _needed("holder", sa.String(120)),
        _needed("token", sa.BigInteger),
        _needed("claimed_at", TIME),
        _needed("expires_at", TIME),
        _needed("given_to", sa.String(16)),
        _needed("reason", sa.Text),
        _needed("epoch", sa.Integer),
    )
    _index_where(
        "status <> 'done'", "ix_claim_open", "claim", ["migration", "status"])
    op.create_table(
        "outcome",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(128), primary_key=True),
        _needed("at", sa.BigInteger),
        _needed("system", sa.String(16)),
        _needed("success", sa.Boolean),
        sa.Column("seconds", sa.Float),
        sa.Column("quality", sa.Text),
        _needed("segments", sa.Text),
    )
    op.create_index("ix_outcome_at", "outcome", ["migration", "at"])
    op.create_table(
        "outcome_sum",
        sa.Column("migration", sa.String(63), primary_key=True),
        sa.Column("system", sa.String(16), primary_key=True),
        sa.Column("segment", sa.String(63), primary_key=True),
        sa.Column("resolution", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        _needed("outcomes", sa.Integer),
        _needed("failures", sa.Integer),
        _needed("durations", sa.JSON),
        _needed("quality", sa.JSON),
    )
    op.create_index("ix_outcome_sum_at", "outcome_sum", ["migration", "resolution", "at"])
    op.create_table(
        "console_token",
        sa.Column("id", sa.String(16), primary_key=True),
        _needed("migration", sa.String(63)),
        _needed("name", sa.String(63)),
        _needed("scope", sa.String(8)),
        _needed("digest", sa.String(64)),
        _needed("created_at", TIME),
        _needed("created_by", sa.String(120)),
        sa.Column("expires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.Column("revoked_at", TIME),
    )


def _needed(name: str, kind: Any, *rest: Any, **options: Any) -> sa.Column[Any]:
    """Return a column that always has a value."""
    return sa.Column(name, kind, *rest, nullable=False, **options)


def _index_where(condition: str, *index: Any, unique: bool = False) -> None:
    """Index the rows for which a condition holds."""
    where = sa.text(condition)
    op.create_index(*index, unique=unique, sqlite_where=where, postgresql_where=where)


def _protect_audit() -> None:
    """Make the database itself refuse changes of audit events."""
    text = "audit events are never changed or deleted"
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_event_no_{action.lower()} BEFORE {action} ON audit_event "
                f"BEGIN SELECT RAISE(ABORT, '{text}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{text}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()"
    )
