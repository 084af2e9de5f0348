"""How many different users there were, from the few that a sample remembers. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from changeover.analysis.window import MOST_USERS

NUMBERS = 2**32
"""Users' numbers are spread evenly below this."""


@dataclass(frozen=True, slots=True)
class Users:
    """A number of different users; one that is not exact is within about 13 % (one sigma)."""

    count: int
    is_exact: bool

    @property
    def text(self) -> str:
        """The number in words: `37 users`, `about 12,400 users`."""
        if self.is_exact:
            return f"{self.count:,} user{'' if self.count == 1 else 's'}"
        return f"about {_rounded(self.count):,} users"

    def part(self, share: float) -> Users:
        """Return how many a share of them is, which nobody has counted."""
        return Users(round(self.count * share), is_exact=share == 1 and self.is_exact)


def count(numbers: Collection[int]) -> Users:
    """Return how many users there were.

    Args:
        numbers: The smallest numbers of all users, `MOST_USERS` of them, or all where there are
            fewer.

    Source: Bar-Yossef, Jayram, Kumar, Sivakumar and Trevisan 2002, "Counting distinct elements in
    a data stream", algorithm 1; (k - 1) / x_k without bias: Beyer et al. 2007, section 4.2.
    """
    if len(numbers) < MOST_USERS:
        return Users(len(numbers), is_exact=True)
    highest = max(numbers) / NUMBERS
    return Users(round((len(numbers) - 1) / highest), is_exact=False)


def _rounded(number: int) -> int:
    """Return a number with the three digits that an estimate can have."""
    digits = max(0, len(str(number)) - 3)
    return round(number, -digits)
