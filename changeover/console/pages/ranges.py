"""The time ranges of the charts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.errors import InvalidInput

MOST_POINTS = 600
"""Of a line: as many as a wide screen shows."""


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time that ends now.

    Args:
        name: As in the address, `1h`.
        title: For people.
        length: None for everything that is stored.
    """

    name: str
    title: str
    length: timedelta | None

    def start(self, now: datetime, oldest: datetime | None) -> datetime:
        """Return where the range begins.

        Args:
            now: The present moment.
            oldest: When the first thing was measured; None when nothing was.
        """
        if self.length is not None:
            return now - self.length
        least = now - RANGES[0].least
        return min(least, oldest) if oldest else least

    @property
    def least(self) -> timedelta:
        """Its length; ten minutes where it has none."""
        return self.length or timedelta(minutes=10)


RANGES = (
    Range("10m", "10 min", timedelta(minutes=10)),
    Range("1h", "1 h", timedelta(hours=1)),
    Range("6h", "6 h", timedelta(hours=6)),
    Range("24h", "24 h", timedelta(hours=24)),
    Range("7d", "7 days", timedelta(days=7)),
    Range("30d", "30 days", timedelta(days=30)),
    Range("all", "all", None),
)
DEFAULT = RANGES[1]


def range_of(name: str | None) -> Range:
    """Return a range by its name; the default for None.

    Raises:
        InvalidInput: No such range.
    """
    if name is None:
        return DEFAULT
    for each in RANGES:
        if each.name == name:
            return each
    allowed = ", ".join(each.name for each in RANGES)
    raise InvalidInput(f"no time range {name[:20]!r}", where="range", allowed=allowed)
