"""Reviews of a stage that soaks: when the next is due, and what people are asked."""

from __future__ import annotations

from changeover.domain.approvers import rules_of
from changeover.domain.reviews import Review, next_review, subject
from changeover.domain.rollout import StageRecord
from changeover.procedures.approvals import Question, numbered
from changeover.procedures.steps import CutoverRun
from changeover.store import approvals, standings, starting


def of_stage(run: CutoverRun, record: StageRecord) -> Review | None:
    """Return the next review of a stage; None when there is none before its soak ends."""
    spec = run.site.plan.stage(record.key).reviews
    # an inconclusive gate waits for data: its soak is over
    if spec is None or record.rechecks:
        return None
    # as many as are asked: two, where four eyes are wanted and nobody knows who started it
    rules = rules_of(run.site.plan, record.key)
    needed = rules.needed_with(starting.starters(run.site.store, run.id))
    asked = approvals.all_of(run.site.store, run.id)
    return next_review(record, spec.every, asked, needed, rules)


def question(run: CutoverRun, stage: str, number: int, round_: int) -> Question:
    """Return what people are asked at a review.

    Args:
        run: The cutover.
        stage: Key of the stage.
        number: Which of its reviews, from 1.
        round_: Which soak of the stage.
    """
    spec = run.site.plan.stage(stage)
    needed = max(1, spec.approvers)
    said = [f"- gate {each.gate}: {each.verdict}: {each.reason}"
            for each in standings.of_stage(run.site.store, run.id, stage)]
    text = "\n".join([
        f"## Does stage {spec.title} of {run.migration} go on?", "",
        f"Review {number} while it soaks. What its gates would say now:", "",
        *(said or ["- nothing was measured so far"]), "",
        "- **promote**: it goes on soaking; its gate is judged at the soak's end.",
        "- **hold**: its soak begins anew.",
        "- **rollback**: everyone back to the baseline now."])
    return Question(subject(stage, number), numbered(text, needed), needed, round_)
