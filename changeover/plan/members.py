"""How a plan says that it is one of several: its group, its order, what a stage waits for. Pure.

What is impossible across the plans of a group is `changeover.plan.together`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from changeover.plan import units
from changeover.plan.fields import Name, Part

if TYPE_CHECKING:
    from changeover.plan.model import Stage

EVERYONE = 10_000
NONE, COPIED, SHARE, ALL = range(4)
FINISHED = ""
"""In place of a stage: once the whole cutover was promoted."""
Order = Annotated[int, Field(strict=True, ge=1, le=99)]


class GroupSpec(Part):
    """The group of migrations that a plan belongs to; they share a store."""

    name: Name = Field(description="Name of the group, the same in each of its plans.")
    order: Order = Field(
        description="1 goes first. Users are moved only as far as all members of lower order are; "
        "a member's rollback takes those of higher order along.")


class WaitSpec(Part):
    """A stage of another member that must be reached before."""

    migration: Name = Field(description="Name of the other migration, of the same group.")
    stage: str = Field(
        FINISHED, max_length=64, description="Key of its stage, as gradual-25; default: its "
        "whole cutover must be promoted.")

    @property
    def text(self) -> str:
        """What is waited for: `stage gradual-25 of orders`."""
        what = f"stage {self.stage}" if self.stage else "the end of the cutover"
        return f"{what} of {self.migration}"


# compared by the level first: any share is further than copies
@dataclass(frozen=True, slots=True, order=True)
class Reach:
    """How far a migration is, as it can be compared with that of another one.

    Args:
        level: 0 nobody has anything to do with the candidate, 1 it gets copies, 2 a share of the
            users, 3 everyone.
        weight: Buckets of users on the candidate, 0..10_000.
    """

    level: int = NONE
    weight: int = 0

    @property
    def text(self) -> str:
        """How far, for people: `25 %`."""
        if self.level == SHARE:
            return units.format_percent(self.weight)
        return {NONE: "nobody", COPIED: "copies only"}.get(self.level, "everyone")


def reach_of_stage(stage: Stage) -> Reach:
    """Return how far a migration is in a stage."""
    # by the names of phases: their model is made with this module
    if stage.phase == "shadow":
        return Reach(COPIED)
    if stage.phase == "full":
        return Reach(ALL, EVERYONE)
    return Reach(SHARE, stage.weight)
