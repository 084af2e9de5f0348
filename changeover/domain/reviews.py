"""Checkpoints while a stage soaks: which is due, and when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain.rollout import Approval, StageRecord

REVIEW = "review-"
"""What a question begins with that is about a stage while it soaks."""


def subject(stage: str, number: int) -> str:
    """Return what people are asked about at a stage's review: `review-gradual-50-2`."""
    return f"{REVIEW}{stage}-{number}"


@dataclass(frozen=True, slots=True)
class Review:
    """The next review of a stage in its present round.

    Args:
        number: Which one it is, from 1.
        at: When people are asked.
        is_asked: Whether they have been, and not all have answered.
    """

    number: int
    at: datetime
    is_asked: bool


def next_review(
    record: StageRecord, every: timedelta, asked: Sequence[Approval], needed: int
) -> Review | None:
    """Return the next review of a stage; None when its soak ends before.

    Each is due `every` after the answer to the one before it, the first after the stage began or
    was held. So none is skipped because people were slow, and none follows at once.

    Args:
        record: The stage.
        every: How often people are asked.
        asked: Every question of the cutover, in order.
        needed: How many must agree at each.
    """
    # a hold begins the next round with the answer to whatever was asked before
    answers = [each.answered_at for each in asked if each.answered_at and (
        each.stage == record.key or each.stage.startswith(f"{REVIEW}{record.key}-"))]
    since = max([record.entered_at, *answers])
    number = 1
    while True:
        mine = [each for each in asked if (each.stage, each.round) == (
            subject(record.key, number), record.round) and not each.is_void]
        agreed = sum(each.decision is not None for each in mine)
        if mine and agreed < needed:
            return Review(number, mine[0].asked_at, is_asked=True)
        if not mine:
            break
        number += 1
    at = since + every
    return Review(number, at, is_asked=False) if at < record.soak_until else None
