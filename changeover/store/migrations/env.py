"""Run migrations on the connection that `Store.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from changeover.store import (  # their tables belong to the same metadata
    console_tables,  # noqa: F401
    sop_tables,  # noqa: F401
)
from changeover.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
