"""The only reader of time. Pure modules take `now` as an argument; edges call `now()` here."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

Clock = Callable[[], datetime]
Seen = TypeVar("Seen")


def now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(UTC)


def from_timestamp(seconds: float) -> datetime:
    """Return the aware UTC datetime of a Unix timestamp in seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def look_until(
    look: Callable[[], Seen], is_good: Callable[[Seen], bool], *, seconds: float, pause: float
) -> Seen:
    """Look until what is seen is good, and return it; or what was seen last when time is over.

    The last look begins after the time is over: on a busy machine an earlier one may be old.

    Args:
        look: What is looked at.
        is_good: Whether looking can end.
        seconds: How long.
        pause: Between two looks, in seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() >= deadline
        seen = look()
        if is_last or is_good(seen):
            return seen
        time.sleep(pause)
