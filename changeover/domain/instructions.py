"""What people tell a running cutover to do: pause, go on, soak longer, promote now, skip. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from changeover.plan.people import person


class InstructionKind(StrEnum):
    """What a person can tell a running cutover to do."""

    PAUSE = "pause"  # nothing is promoted and no soak counts until `resume`
    RESUME = "resume"
    EXTEND = "extend"  # the present stage soaks longer
    PROMOTE_NOW = "promote-now"  # the present stage's soak is over
    SKIP = "skip-stage"  # a later stage is left out
    START = "start"  # who started it; `stage` says what, besides the cutover itself
    AMEND = "amend"  # the cutover goes on with another plan


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of one person. `id` is 0 until it is stored.

    Args:
        cutover_id: The cutover.
        kind: What is to be done.
        actor: Who says so.
        reason: Why.
        at: When.
        stage: Key of the stage; empty for `pause` and `resume`; for `amend` the plan's digest.
        round: Which soak of the stage, from 1; 0 where that does not matter; for `amend` how often
            the plan had been amended before.
        seconds: For `extend`: by how much, in seconds.
    """

    cutover_id: int
    kind: InstructionKind
    actor: str
    reason: str
    at: datetime
    stage: str = ""
    round: int = 0
    seconds: int = 0
    id: int = 0

    @property
    def by(self) -> timedelta:
        """For `extend`: by how much."""
        return timedelta(seconds=self.seconds)


def is_same(known: Instruction, given: Instruction) -> bool:
    """Whether one person says the same again, about the same soak or another one."""
    words = known.kind, known.seconds, known.reason
    is_one = person(known.actor) == person(given.actor)
    return is_one and words == (given.kind, given.seconds, given.reason)


def said_before(given: Instruction, all_given: Iterable[Instruction]) -> Instruction | None:
    """Return the same words of the same person from before, whichever soak they were about."""
    # of the soak that is meant, if there is one: else of any other
    same = [each for each in all_given if is_same(each, given)]
    here = [each for each in same if (each.stage, each.round) == (given.stage, given.round)]
    return next(iter(here or same), None)


def last_resume(given: Iterable[Instruction]) -> Instruction | None:
    """Return what ended the newest pause; None while it stands, or when there was none."""
    kinds = InstructionKind.PAUSE, InstructionKind.RESUME
    newest = [each for each in given if each.kind in kinds][-1:]
    return next((each for each in newest if each.kind is InstructionKind.RESUME), None)


def open_pause(given: Iterable[Instruction]) -> Instruction | None:
    """Return the pause that nobody has ended; None while the cutover goes on.

    Args:
        given: Every instruction of a cutover, oldest first.
    """
    pause = None
    for each in given:
        if each.kind is InstructionKind.PAUSE:
            # the first of several: what was left of the soak is counted from it
            pause = pause or each
        elif each.kind is InstructionKind.RESUME:
            pause = None
    return pause


def people(given: Iterable[Instruction], kind: InstructionKind, stage: str, round_: int = 0) \
        -> list[str]:
    """Return who gave an instruction about a stage, each person once, in order.

    Args:
        given: Every instruction of a cutover, oldest first.
        kind: `promote-now` or `skip-stage`.
        stage: Key of the stage.
        round_: Which soak of it; 0 where that does not matter.
    """
    found: dict[str, str] = {}
    for each in given:
        if (each.kind, each.stage, each.round) == (kind, stage, round_):
            found.setdefault(person(each.actor), each.actor)
    return list(found.values())


def described(given: Iterable[Instruction], kind: InstructionKind, stage: str, round_: int = 0) \
        -> str:
    """Return who gave an instruction about a stage and why, in one phrase."""
    return "; ".join(
        f"{each.actor}: {each.reason}" for each in given
        if (each.kind, each.stage, each.round) == (kind, stage, round_))
