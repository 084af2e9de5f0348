"""An engine that accepts every text: that of each statement is made storable, whoever wrote it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from changeover.domain.storable import storable_in


def accept_all_text(engine: Engine) -> Engine:
    """Return the engine; it accepts every text from now on, in a form that can be stored."""

    # for every statement, also of SQLAlchemy's own: no caller can forget it
    @event.listens_for(engine, "before_cursor_execute", retval=True, named=True)
    def _before(**given: Any) -> tuple[str, Any]:
        return given["statement"], storable_in(given["parameters"])

    return engine
