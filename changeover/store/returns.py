"""The schedule of a return in steps; it stands in the audit event that began the rollback."""

from __future__ import annotations

from changeover.domain.gradual_return import KEY, Return, of_document
from changeover.domain.routing import Mode, RoutingState
from changeover.store import audit
from changeover.store.engine import Store


def schedule(store: Store, state: RoutingState) -> Return | None:
    """Return the steps by which users return now; None when they do not."""
    if state.mode is not Mode.RETURNING:
        return None
    began = audit.newest_of(store, state.migration, "rollback.started")
    if began is None or KEY not in began.data:
        return None
    return of_document(began.at, began.data[KEY])
