"""Since when the evidence of a stage counts: since its newest change.

After a rollback of a part people may give the stage its share again. What was counted before then
was of the candidate as it was, and has taken the part back already.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from changeover import clock
from changeover.domain.procedures import (
    StepStatus,
    again_step,
    again_steps,
    due_again_step,
    of_cutover,
)
from changeover.domain.rollout import StageRecord
from changeover.site.site import Site
from changeover.store import steps

COMING_AT_MOST = timedelta(minutes=2)
"""A gateway that confirms nothing for longer must not keep harm from being seen."""


def as_counted(site: Site, record: StageRecord) -> StageRecord:
    """Return a stage as if it had begun when its users got their share again, if they did.

    It counts from when that was due, and once it was done from then.
    """
    if record.round == 1:
        return record
    names = again_steps(record.key, record.round)
    ends = steps.ends_of(site.store, site.migration, of_cutover(record.cutover_id), names)
    return replace(record, entered_at=max([record.entered_at, *ends]))


def as_watched(site: Site, record: StageRecord) -> StageRecord | None:
    """Return a stage as it counts while it soaks; None while its users are about to come again.

    They come between two moments of which only the later one is known to every gateway.
    """
    return None if _is_coming(site, record) else as_counted(site, record)


def _is_coming(site: Site, record: StageRecord) -> bool:
    if record.round == 1:
        return False
    subject, round_ = of_cutover(record.cutover_id), record.round - 1
    due = steps.one(site.store, site.migration, subject, due_again_step(record.key, round_))
    if due is None or clock.now() >= due.ended_at + COMING_AT_MOST:
        return False
    done = steps.one(site.store, site.migration, subject, again_step(record.key, round_))
    return done is None or done.status is not StepStatus.DONE
