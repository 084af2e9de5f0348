"""A gate that failed because of a route only: the route goes back, everything else stays.

What follows is what follows a rollback of a part: the stage soaks anew, and people are asked.
"""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.going_back import smaller
from changeover.domain.procedures import Step, StepStatus, failed_routes_step, routes_back_step
from changeover.domain.rollbacks import Cause, scope_of_route
from changeover.domain.rollout import StageAction, StageRecord
from changeover.errors import InvalidInput
from changeover.procedures import rollback
from changeover.procedures.partial_rollback import reduce_and_notify
from changeover.procedures.steps import CutoverRun, Found
from changeover.store import cutovers, routing


def decide(
    run: CutoverRun, record: StageRecord, routes: tuple[str, ...], reason: str
) -> StageDecision:
    """Return what follows when the gates of these routes, and nothing else, failed.

    1. Which of them go back is saved before anything moves. 2. They are moved (`take_back`). 3. The
    stage soaks anew. 4. That they are back is saved. A kill between these finds what was saved, and
    does it first (`unfinished`), also when another part went back in between. 5. A later evaluation
    may fail by requests from before: a route that is at the baseline already cannot go back again,
    so people are asked.

    Args:
        run: The cutover.
        record: The stage, as it was judged.
        routes: The routes.
        reason: Why their gates failed.
    """
    def aim() -> Found:
        kept = routing.read(run.site.store, run.migration).kept_routes
        left = [name for name in routes if name not in kept]
        said = f"route {', '.join(left)} goes back alone" if left else "no route is left to go back"
        return said, {"routes": left, "reason": reason}

    back = tuple(run.once(_name(record), aim).data["routes"])
    if not back:
        said = f"{reason}; at the baseline already: route {', '.join(routes)}"
        return StageDecision(record.key, StageAction.ASK, said)
    return StageDecision(record.key, StageAction.WAIT, reason, back)


def _name(record: StageRecord) -> str:
    return failed_routes_step(record.key, record.round, record.rechecks)


def unfinished(run: CutoverRun, stage: str) -> StageDecision | None:
    """Return what was decided in the present round, and not done to its end; else None.

    A kill between the two leaves users at a candidate that failed: they go back before anything
    else is asked, also whether the cutover is paused.
    """
    record = cutovers.stage(run.site.store, run.id, stage)
    if record is None or record.decided_at is not None:
        return None
    pending = _pending(run, record)
    if not pending:
        return None
    kept = routing.read(run.site.store, run.migration).kept_routes
    back: list[str] = []
    for rechecks, step in pending.items():
        # the stage has soaked anew since: who is back went back in another way, or is done
        is_past = rechecks < record.rechecks
        back += [name for name in step.data["routes"]
                 if name not in back and not (is_past and name in kept)]
    reasons = (str(step.data.get("reason", step.detail)) for step in pending.values())
    return StageDecision(stage, StageAction.WAIT, "; ".join(dict.fromkeys(reasons)), tuple(back))


def _pending(run: CutoverRun, record: StageRecord) -> dict[int, Step]:
    """Return what was decided in this round and is not saved as done, by its evaluation."""
    found = {}
    for rechecks in range(record.rechecks + 1):
        known = run.known(failed_routes_step(record.key, record.round, rechecks))
        # nothing was left to go back: people were asked
        if known is None or not known.data.get("routes"):
            continue
        if run.known(routes_back_step(record.key, record.round, rechecks)) is None:
            found[rechecks] = known
    return found


def take_back(run: CutoverRun, decision: StageDecision) -> str:
    """Move the routes of a decision to the baseline; repeating it changes nothing more.

    Returns:
        What was done, in words.

    Raises:
        StaleEpoch: A rollback came first.
        Refused: It came in this moment.
    """
    record = cutovers.stage(run.site.store, run.id, decision.stage)
    if record is None:
        raise InvalidInput(f"stage {decision.stage} of cutover {run.id} was never entered")
    pending = _pending(run, record)
    said = [_take_one_back(run, record, name, decision.reason) for name in decision.back]
    # without any, the rollback that took them back had the stage soak anew
    if said:
        rollback.soak_anew(run.site, clock.now())
    text = "; ".join(said) or "every route is back already"
    # last: a kill before it finds the same decision again, and takes back what is left
    for rechecks in pending:
        run.save(routes_back_step(record.key, record.round, rechecks), StepStatus.DONE, text)
    return text


def _take_one_back(run: CutoverRun, record: StageRecord, name: str, why: str) -> str:
    scope = scope_of_route(name)
    cause = Cause(f"cutover {run.id}", f"the gate of stage {record.key} failed: {why}")
    occasion = f"{run.subject} {record.index} {record.round}.{record.rechecks} {scope}"
    target = smaller(run.site.plan, run.current_state(), scope)
    done = reduce_and_notify(
        run.site, target, scope=scope, cause=cause, occasion=occasion, soaks_anew=False)
    said = "" if done.is_confirmed else " (a gateway has not confirmed it yet)"
    return f"{scope} is back at the baseline: {done.state.describe()}{said}"
