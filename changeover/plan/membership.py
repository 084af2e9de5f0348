"""To which group of a gate's checks a check belongs, and how many of it must pass. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from changeover.plan.fields import Part
from changeover.plan.ranks import ScoreSpec


class MemberOf(Part):
    """The group of a check; set when a plan is read, never written by hand."""

    kind: Literal["any", "all", "some", "score"]
    number: int = Field(ge=0, description="Place of the group in its gate, from 0.")
    needed: int = Field(ge=1, description="So many of its checks must pass.")
    of: int = Field(ge=1, description="So many checks it has.")
    score: ScoreSpec | None = Field(None, description="Of a `score`: what it must reach.")

    @property
    def fails_with(self) -> int:
        """With so many failed checks too few are left to pass."""
        return self.of - self.needed + 1

    @property
    def words(self) -> str:
        """The group for people: `at least 2 of 3 must pass`."""
        if self.score is not None:
            return f"the score of {self.of} must reach {self.score.pass_:g}"
        if self.kind == "all":
            return f"all {self.of} must pass"
        if self.kind == "any":
            return f"one of {self.of} must pass"
        return f"at least {self.needed} of {self.of} must pass"
