"""Numbers as one line of characters: how they went, and how near a bound they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"
"""The same eight heights where only ASCII can be shown."""
Values = Sequence[float | None]


def sparkline(values: Values, *, top: float, width: int, is_ascii: bool = False) -> str:
    """Return values as a line of exactly `width` characters, the newest on the right.

    Args:
        values: From 0 on; None where nothing was measured, which is shown as a blank: 0 is not.
        top: The value of the highest character; two lines with the same one can be compared.
        width: Characters; more values than that are joined, and the highest of them counts.
        is_ascii: Whether to use ASCII only.
    """
    heights = ASCII if is_ascii else BLOCKS
    line = "".join(_height(value, top, heights) for value in _joined(values, width))
    return line.rjust(width)


def top_of(*lines: Values) -> float:
    """Return the highest value of several lines, which they are drawn by; 0 without any."""
    found = [value for line in lines for value in line if value is not None]
    return max(found, default=0.0)


def _joined(values: Values, width: int) -> list[float | None]:
    """Return at most `width` values."""
    # whole groups from the newest on, so that a group does not change with every refresh
    size = max(1, -(-len(values) // max(1, width)))
    found = []
    for end in range(len(values), 0, -size):
        group = [value for value in values[max(0, end - size):end] if value is not None]
        # a peak must not vanish in a mean
        found.append(max(group, default=None))
    return found[::-1]


def _height(value: float | None, top: float, heights: str) -> str:
    if value is None:
        return " "
    if top <= 0:
        return heights[0]
    share = min(1.0, max(0.0, value / top))
    return heights[round(share * (len(heights) - 1))]


def bar(share: float | None, width: int, *, is_ascii: bool = False) -> str:
    """Return a bar of exactly `width` characters; the last one is the bound.

    Args:
        share: 0 is far from the bound, 1 at it; more fills the bar. None: nobody knows.
        width: Characters, at least 2.
        is_ascii: Whether to use ASCII only.
    """
    full, empty, bound = ("#", ".", "|") if is_ascii else ("█", "░", "▏")
    room = max(1, width - 1)
    if share is None:
        return f"{'?':{'.' if is_ascii else '░'}<{room}}{bound}"
    filled = min(room, max(0, round(share * room)))
    # a little is not nothing, and almost is not there yet
    if share > 0:
        filled = max(1, filled)
    if share < 1:
        filled = min(room - 1, filled) if room > 1 else filled
    return f"{full * filled}{empty * (room - filled)}{bound}"
