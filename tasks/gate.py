"""A stage after its users were moved: soak, gate, and what the decision does to it."""

from __future__ import annotations

from prefect.logging import get_run_logger

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.analysis.guardrails import Regression
from changeover.domain.reviews import Review
from changeover.domain.rollout import StageAction, StageRecord
from changeover.plan.model import Stage
from changeover.plan.units import format_duration
from changeover.procedures import gate, reviews, routes_back, stages, waiting
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.steps import CutoverRun
from changeover.procedures.waiting import Wait
from changeover.shadow import scores
from changeover.store import cutovers
from tasks.steps import come_back, step
from tasks.traffic import has_users


async def soak(run: CutoverRun, stage: str) -> StageDecision | None:
    """Return when the stage's soak is over; until then the run sleeps as `Soaking`.

    Woken early (a recovery, a person's click), it goes back to sleep.

    Returns:
        None when the soak is over; that people are to review the stage when that is due before.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: The soak is not over; the worker starts the run again when it is.
    """
    while True:
        run.current_state()
        record = cutovers.stage(run.site.store, run.id, stage)
        now = clock.now()
        is_over = record is None or now >= record.soak_until
        # gates are judged when users may be moved, so that the verdict is fresh
        wait = (
            waiting.why_wait(run, waiting.following(run, stage), now) if is_over
            else waiting.why_paused(run, now))
        if wait is not None:
            await _sleep(run, wait)
        elif record is None or is_over:
            return None
        else:
            review = reviews.of_stage(run, record)
            if review is not None and (review.is_asked or now >= review.at):
                said = f"review {review.number} is due"
                return StageDecision(stage, StageAction.REVIEW, said)
            await _soak_on(run, record, review)


async def _soak_on(run: CutoverRun, record: StageRecord, review: Review | None) -> None:
    """Let the run sleep until the soak is over, or people are to review the stage."""
    spec = run.site.plan.stage(record.key)
    said = (f"{spec.title} soaks for {format_duration(spec.soak)}, "
            f"until {record.soak_until:%Y-%m-%d %H:%M:%S} UTC")
    until = record.soak_until
    if review is not None:
        until = review.at
        said += f"; people review it at {until:%Y-%m-%d %H:%M:%S} UTC"
    await come_back(until, name=waiting.SOAKING, message=said)


async def until_allowed(run: CutoverRun, stage: Stage | None) -> None:
    """Return when users may be moved; until then the run sleeps, for the reason in its state.

    Args:
        run: The cutover.
        stage: The stage that would begin; None for what follows the last one.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: People paused or froze it, it is outside the plan's hours, or another member of the
            group is not so far.
    """
    # asked again after each sleep: another reason to wait may have come meanwhile
    while wait := waiting.why_wait(run, stage, clock.now()):
        run.current_state()
        await _sleep(run, wait)


async def _sleep(run: CutoverRun, wait: Wait) -> None:
    """Say why the cutover waits, and let the run sleep until it is to look again."""
    waiting.note(run, wait, now=clock.now())
    get_run_logger().info(wait.text)
    await come_back(wait.until, name=wait.name, message=wait.text)


@step(name="judge gate", task_run_name="judge gate: {stage}")
def judge_stage(run: CutoverRun, stage: str) -> StageDecision:
    """Judge every gate of a stage once per evaluation and say what follows.

    Raises:
        StaleEpoch: A rollback came first.
    """
    spec = run.site.plan.stage(stage)
    seen = Seen(has_users(run.site, spec), _firm_regressions(run))
    return gate.judge_stage(run, stage, seen)


def _firm_regressions(run: CutoverRun) -> list[Regression] | None:
    """Return the firm regressions that were seen since the cutover began; None: not compared."""
    if run.site.plan.shadow is None:
        return None
    found = []
    collected = scores.collect(run.site.store, run.migration)
    for each in collected.findings:
        place, verdict = each.place, each.verdict
        # what was last seen before the cutover began is not of this candidate
        if verdict.is_firm and place.last_seen >= run.began_at:
            found.append(Regression(
                place.field, verdict.rate, verdict.samples, verdict.reason))
    return found


@step(name="finish routes back", task_run_name="finish routes back: {stage}")
def finish_routes_back(run: CutoverRun, stage: str) -> None:
    """Move the routes back that were to go when a run before this one was killed.

    Also where people have paused the cutover since: the decision was made before.

    Raises:
        StaleEpoch: A rollback came first.
    """
    if left := routes_back.unfinished(run, stage):
        routes_back.take_back(run, left)


@step(name="take routes back", task_run_name="take routes back: {stage}")
def take_routes_back(run: CutoverRun, stage: str, decision: StageDecision) -> str:
    """Move the routes back whose gates failed; the stage soaks anew, and then asks people.

    Raises:
        StaleEpoch: A rollback came first.
    """
    return routes_back.take_back(run, decision)


@step(name="promote stage", task_run_name="promote: {stage}")
def promote_stage(run: CutoverRun, stage: str, reason: str) -> bool:
    """Close the stage as promoted, unless the cutover is paused or frozen; return whether it is.

    Raises:
        StaleEpoch: A rollback came first; the stage is not promoted.
    """
    return stages.promote(run, stage, reason)


@step(name="hold stage", task_run_name="hold: {stage}")
def hold_stage(run: CutoverRun, stage: str, round_: int) -> None:
    """Begin the stage's next soak because a person held it in round `round_`."""
    stages.hold(run, stage, round_)


@step(name="evaluate again later", task_run_name="evaluate again: {stage}")
def recheck_later(run: CutoverRun, stage: str) -> None:
    """Wait the plan's `patience.recheck` before the next evaluation."""
    stages.recheck_later(run, stage)
