"""What `changeover wait` waits for: whether it is met, or cannot come any more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from changeover.domain.rollout import CutoverStatus, StageStatus


class Awaited(StrEnum):
    """What can be waited for, beside a stage."""

    STARTED = "started"  # a cutover runs
    WAITING = "waiting"  # people are asked
    PROMOTED = "promoted"  # it has ended well
    ROLLED_BACK = "rolled-back"  # everyone is back at the baseline
    ENDED = "ended"  # it has ended, however


class Answer(StrEnum):
    """What is known of it now."""

    MET = "met"
    NOT_YET = "not yet"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store says of a migration.

    Args:
        cutover: Id of the cutover that is looked at; None while there is none.
        status: How that cutover stands.
        is_going_back: A rollback of everyone has begun, perhaps in steps; nothing stops it.
        is_rolled_back: Everyone is back, whether the cutover's flow has noted it yet or not.
        question: The stage that people are asked about; empty when they are not.
        stages: How each stage stands that was entered, or left out, by its key.
    """

    cutover: int | None = None
    status: CutoverStatus | None = None
    is_going_back: bool = False
    is_rolled_back: bool = False
    question: str = ""
    stages: Mapping[str, StageStatus] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of this cutover."""
        is_running = self.status in (None, CutoverStatus.RUNNING)
        return self.is_going_back or not is_running

    @property
    def text(self) -> str:
        """How it stands, in one phrase."""
        if self.cutover is None:
            return "everyone was rolled back" if self.is_rolled_back else "no cutover has begun"
        name = f"cutover {self.cutover}"
        # the flow may not have written its end yet
        if self.is_rolled_back:
            return f"{name} was rolled back"
        if self.is_going_back:
            return f"{name} is being rolled back in steps"
        if self.question:
            return f"{name} asks people about {self.question}"
        if self.status is CutoverStatus.RUNNING and self.stages:
            key, status = list(self.stages.items())[-1]
            return f"{name} runs, {key} is {status.replace('_', ' ')}"
        return f"{name} is {str(self.status).replace('_', ' ')}"


def answer(wanted: str, seen: Seen) -> Answer:
    """Return whether what is waited for is met, may still come, or cannot come any more.

    Args:
        wanted: One of `Awaited`, or the key of a stage: no stage has one of those names.
        seen: What is known now.
    """
    if wanted not in set(Awaited):
        return _of_stage(seen.stages.get(wanted), seen)
    if _MET[Awaited(wanted)](seen):
        return Answer.MET
    # a cutover that has not begun may still do anything; one that runs cannot be too late to start
    if wanted == Awaited.STARTED or not seen.is_over:
        return Answer.NOT_YET
    # in steps: it will come, and the cutover is over all the same
    if wanted == Awaited.ROLLED_BACK and seen.is_going_back:
        return Answer.NOT_YET
    # without a cutover nothing was waited for yet: the next one may still come
    return Answer.NOT_YET if seen.cutover is None else Answer.IMPOSSIBLE


def _of_stage(status: StageStatus | None, seen: Seen) -> Answer:
    # left out by people: it will not be entered
    if status is StageStatus.SKIPPED:
        return Answer.IMPOSSIBLE
    if status is not None:
        return Answer.MET
    is_over = seen.is_over and seen.cutover is not None
    return Answer.IMPOSSIBLE if is_over else Answer.NOT_YET


def _is_promoted(seen: Seen) -> bool:
    return seen.status is CutoverStatus.PROMOTED and not seen.is_going_back


def _has_started(seen: Seen) -> bool:
    return seen.status is CutoverStatus.RUNNING and not seen.is_going_back


def _asks(seen: Seen) -> bool:
    # after a rollback a question may be open still: nobody acts on an answer
    return bool(seen.question) and not seen.is_going_back


def _has_ended(seen: Seen) -> bool:
    return seen.cutover is not None and seen.is_over


_MET = {
    Awaited.STARTED: _has_started,
    Awaited.WAITING: _asks,
    Awaited.PROMOTED: _is_promoted,
    Awaited.ROLLED_BACK: lambda seen: seen.is_rolled_back,
    Awaited.ENDED: _has_ended,
}
