"""Lets somebody else act between two statements of ours: races without luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def meanwhile(part: str, action: Callable[[], object]) -> Iterator[None]:
    """Act once, right after the first SELECT of this process that contains `part`.

    Raises:
        AssertionError: There was none.
    """
    done: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not done and statement.startswith("SELECT") and part in statement:
            done.append(statement)
            action()

    event.listen(Engine, "after_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", look)
    assert done, f"nobody asked for {part}"
