r"""Text that every database and every JSON reader accepts. Pure.

NUL and halves of surrogate pairs become `\x00` and `\ud800`: PostgreSQL refuses NUL, drivers and
UTF-8 refuse half of a pair. A rollback whose reason contains one must not fail for it.
"""

from __future__ import annotations

from typing import Any


def storable(text: str) -> str:
    """Return a text that can be stored and sent; nearly all are returned as they are."""
    # `isascii` is asked first: it is true of nearly every text and costs nothing
    if "\0" not in text and (text.isascii() or _is_whole(text)):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def storable_in(value: Any) -> Any:
    """Return a value with all text in it, in dicts and lists too, as `storable` returns it."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {name: storable_in(one) for name, one in value.items()}
    # not subclasses: a driver's own types (JSON wrappers, arrays) must stay what they are
    if type(value) in (list, tuple):
        return type(value)(storable_in(one) for one in value)
    return value


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
