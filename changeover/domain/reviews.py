"""Checkpoints while a stage soaks: which is due, and when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain.approvers import Rules
from changeover.domain.rollout import Approval, StageAction, StageRecord

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
        is_asked: Whether they have been, and not as many have agreed as must.
    """

    number: int
    at: datetime
    is_asked: bool


def next_review(
    record: StageRecord, every: timedelta, asked: Sequence[Approval], needed: int,
    rules: Rules | None = None,
) -> Review | None:
    """Return the next review of a stage; None when its soak ends before.

    Each is due `every` after the answer to the one before it, the first after the stage began or
    was held. So none is skipped because people were slow, and none follows at once.

    Args:
        record: The stage.
        every: How often people are asked.
        asked: Every question of the cutover, in order.
        needed: How many must agree at each.
        rules: Who may answer; whoever is not listed any more does not count. None: anybody may.
    """
    # a hold begins the next round with the answer to whatever was asked before
    answers = [each.answered_at for each in asked if each.answered_at and (
        each.stage == record.key or each.stage.startswith(f"{REVIEW}{record.key}-"))]
    since = max([record.entered_at, *answers])
    number, newest = 0, _questions(record, asked, 1)
    while following := _questions(record, asked, number + 1):
        number, newest = number + 1, following
    # the ones before it are over, whoever may not answer any more since
    agreed = [each.approver or "" for each in newest if each.decision is StageAction.PROMOTE]
    if newest and len((rules or Rules()).counting(agreed)) < needed:
        # also where one did not agree: a cutover that is continued has still to do what they said
        return Review(number, newest[0].asked_at, is_asked=True)
    number += 1
    at = since + every
    return Review(number, at, is_asked=False) if at < record.soak_until else None


def _questions(record: StageRecord, asked: Sequence[Approval], number: int) -> list[Approval]:
    """Return the questions of one review in the stage's present round."""
    about = subject(record.key, number), record.round
    return [each for each in asked if (each.stage, each.round) == about and not each.is_void]
