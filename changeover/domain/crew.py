"""How many processes of a service are at work, as its sign of life says it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAID = re.compile(r"(\d{1,4}) of (\d{1,4}) processes compare")


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes that compare for a shadow service.

    Args:
        at_work: Those that take exchanges now.
        wanted: Those that should.
    """

    at_work: int
    wanted: int

    @property
    def text(self) -> str:
        """One line, which `of` reads again."""
        return f"{self.at_work} of {self.wanted} processes compare"

    @property
    def is_whole(self) -> bool:
        """Whether none is missing."""
        return self.at_work >= self.wanted

    @classmethod
    def of(cls, said: str) -> Crew | None:
        """Return what a sign of life says of it; None when it says nothing: there is one process.

        Args:
            said: The sign's detail.
        """
        found = _SAID.fullmatch(said)
        return cls(int(found[1]), int(found[2])) if found else None
