"""What a decision does to a stage: promoted, held for another soak, or evaluated again."""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.rollout import PASSED, StageAction
from changeover.errors import StaleEpoch
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, instructions


def promote(run: CutoverRun, stage: str, reason: str) -> bool:
    """Close the stage as promoted, unless the cutover is paused or frozen; return whether it is.

    Raises:
        StaleEpoch: A rollback came first; the stage is not promoted.
    """
    run.current_state()
    store, now = run.site.store, clock.now()
    return instructions.promote(store, run.id, stage, reason=reason, now=now)


def hold(run: CutoverRun, stage: str, round_: int) -> None:
    """Begin the stage's next soak because a person held it in round `round_`."""
    store, now = run.site.store, clock.now()
    record = cutovers.stage(store, run.id, stage)
    # else a run before this one was killed after it began the next round
    if record is not None and record.round == round_:
        until = now + run.site.plan.stage(stage).soak
        cutovers.next_round(store, record, until=until, now=now)


def recheck_later(run: CutoverRun, stage: str) -> None:
    """Wait the plan's `patience.recheck` before the next evaluation of this round."""
    store, patience = run.site.store, run.site.plan.patience
    record = cutovers.stage(store, run.id, stage)
    rechecks = record.rechecks if record else 0
    until = clock.now() + patience.recheck
    cutovers.extend_soak(store, run.id, stage, until=until, rechecks=rechecks + 1)


def has_begun(run: CutoverRun) -> bool:
    """Whether a stage was entered: then everything before the stages was done."""
    return bool(cutovers.stages(run.site.store, run.id))


def was_entered(run: CutoverRun, stage: str) -> bool:
    """Whether the stage's users were moved."""
    return cutovers.stage(run.site.store, run.id, stage) is not None


def promoted(run: CutoverRun, stage: str) -> StageDecision | None:
    """Return the decision about a stage that was promoted or skipped before; else None."""
    record = cutovers.stage(run.site.store, run.id, stage)
    if record is None or record.status not in PASSED:
        return None
    return StageDecision(stage, StageAction.PROMOTE, record.reason)


def settled(run: CutoverRun, stage: str) -> StageDecision | None:
    """Return the decision about a stage whose whole phase was promoted; None when it was not.

    A run wakes many times; what the store knows of passed phases need not be asked of Prefect.
    Only of whole phases: Prefect knows the runs of one flow by counting its calls, so either all
    calls of a phase's flow are made again or none.
    """
    plan = run.site.plan
    phase = plan.stage(stage).phase
    decisions = {}
    for each in plan.stages():
        if each.phase is phase:
            decisions[each.key] = promoted(run, each.key)
    return decisions[stage] if all(decisions.values()) else None


def is_superseded(run: CutoverRun, stage: str) -> bool:
    """Whether a rollback came before this stage was ever entered, so that it never will be."""
    if cutovers.stage(run.site.store, run.id, stage) is not None:
        return False
    try:
        run.current_state()
    except StaleEpoch:
        return True
    return False
