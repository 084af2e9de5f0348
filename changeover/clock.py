"""The only reader of time. Pure modules take `now` as an argument; edges call `now()` here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(UTC)


def from_timestamp(seconds: float) -> datetime:
    """Return the aware UTC datetime of a Unix timestamp in seconds."""
    return datetime.fromtimestamp(seconds, UTC)
