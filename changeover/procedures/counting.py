"""Since when the evidence of a stage counts: since its newest change.

After a rollback of a part people may give the stage its share again. What was counted before then
was of the candidate as it was, and has taken the part back already.
"""

from __future__ import annotations

from dataclasses import replace

from changeover.domain.procedures import StepStatus, of_cutover
from changeover.domain.rollout import StageRecord
from changeover.site.site import Site
from changeover.store import steps


def given_again(stage: str, round_: int) -> str:
    """Return the name of the step that gives a stage its share again after a round."""
    return f"users of {stage} again {round_}"


def as_counted(site: Site, record: StageRecord) -> StageRecord:
    """Return a stage as if it had begun when its users got their share again, if they did."""
    if record.round == 1:
        return record
    subject, names = of_cutover(record.cutover_id), {
        given_again(record.key, round_) for round_ in range(1, record.round)}
    ends = [step.ended_at for step in steps.all_of(site.store, site.migration, subject)
            if step.name in names and step.status is StepStatus.DONE]
    return replace(record, entered_at=max([record.entered_at, *ends]))
