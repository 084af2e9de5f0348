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


def poll_until(
    poll: Callable[[], Seen], is_good: Callable[[Seen], bool], *, seconds: float, pause: float
) -> Seen:
    """Poll until `is_good` or the deadline; return the last result.

    The last poll begins after the deadline: on a busy machine an earlier result may be old.

    Args:
        poll: Called for each result.
        is_good: Whether polling can end with a result.
        seconds: The deadline, from now.
        pause: Between two polls, in seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() >= deadline
        seen = poll()
        if is_last or is_good(seen):
            return seen
        time.sleep(pause)
