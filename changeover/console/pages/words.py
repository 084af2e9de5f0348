"""Times and names as people read them on the pages. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from changeover.domain.time_words import about


def parsed(at: datetime | str) -> datetime:
    """Return a moment that may be written as ISO 8601."""
    return datetime.fromisoformat(at) if isinstance(at, str) else at


def clock_time(at: datetime | str) -> str:
    """Return a moment of today, as `14:03:07`."""
    return parsed(at).astimezone(UTC).strftime("%H:%M:%S")


def moment(at: datetime | str) -> str:
    """Return a moment with its day, as `2026-11-29 14:03:07`."""
    return parsed(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def since(at: datetime | str, now: datetime) -> str:
    """Return how long ago something was, as `12 min ago`."""
    return f"{about(now - parsed(at))} ago"


def spaced(name: object) -> str:
    """Return the name of a mode or a kind as words: `rolled back` for `rolled_back`."""
    return str(name).replace("_", " ")
