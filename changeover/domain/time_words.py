"""How long something takes, as people read it: exactly, about, and in whole words. Pure."""

from __future__ import annotations

import math
from datetime import timedelta

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_NAMES = (
    (1, 60, "second"), (60, 3600, "minute"), (3600, 86_400, "hour"), (86_400, math.inf, "day"))


def exact(seconds: float | None) -> str:
    """Return a time span in its two largest units: `4 min 12 s`, `7 d`, `3.2 s`, `31 ms`."""
    if seconds is None:
        return "–"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if 0 < seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    return _in_two(round(seconds)) or "0 s"


def about(duration: timedelta) -> str:
    """Return a duration with the digits that matter: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0, round(duration.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    # what is counted in hours or days has no seconds that matter
    largest = 3600 if seconds < 48 * 3600 else 86_400
    return _in_two(seconds // 60 * 60, largest)


def in_words(seconds: float | None) -> str:
    """Return a time as people say it: `40 seconds`, `25 minutes`, `3 hours`, `4 days`."""
    left = seconds or 0.0
    # two of a unit are too coarse: 100 minutes are no "2 hours"
    size, unit = next(
        (size, unit) for size, larger, unit in _NAMES if round(left / size) < 3 * larger / size)
    number = max(1, round(left / size))
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _in_two(seconds: int, largest: int = 86_400) -> str:
    """Return whole seconds in two units that stand together, from the largest one on."""
    left, parts = seconds, []
    for size, unit in _UNITS:
        if size > largest:
            continue
        number, left = divmod(left, size)
        if number:
            parts.append((size, f"{number} {unit}"))
    # `2 d 5 s` would look exact and is not: only neighbouring units stand together
    neighbours = {86_400: 3600, 3600: 60, 60: 1, 1: 0}
    first = parts[0][0] if parts else 0
    return " ".join(text for size, text in parts if size in (first, neighbours.get(first)))
