"""Run migrations on the connection that `Store.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from changeover.store import sop_tables  # noqa: F401  its tables belong to the same metadata
from changeover.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
