r"""Text that every database accepts: NUL and halves of surrogate pairs become `\x00` and `\ud800`.

PostgreSQL refuses NUL, and both drivers refuse half of a pair. A rollback whose reason contains one
must not fail for it, so the text of every statement is checked, whoever wrote it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event


def storable(text: str) -> str:
    """Return a text that can be stored; nearly all are returned as they are."""
    # `isascii` is asked first: it is true of nearly every text and costs nothing
    if "\0" not in text and (text.isascii() or _is_whole(text)):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def accept_all_text(engine: Engine) -> Engine:
    """Return the engine; it accepts every text from now on, in a form that can be stored."""

    # for every statement, also of SQLAlchemy's own: no caller can forget it
    @event.listens_for(engine, "before_cursor_execute", retval=True, named=True)
    def _before(**given: Any) -> tuple[str, Any]:
        return given["statement"], _storable(given["parameters"])

    return engine


def _storable(value: Any) -> Any:
    """Return a statement's parameters, in whatever form, with text that can be stored."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {name: _storable(one) for name, one in value.items()}
    # not subclasses: a driver's own types (JSON wrappers, arrays) must stay what they are
    if type(value) in (list, tuple):
        return type(value)(_storable(one) for one in value)
    return value


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
