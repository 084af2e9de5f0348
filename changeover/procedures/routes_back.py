"""A gate that failed because of a route only: the route goes back, everything else stays.

What follows is what follows a rollback of a part: the stage soaks anew, and people are asked.
"""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.going_back import smaller
from changeover.domain.messages import Severity
from changeover.domain.rollbacks import Cause, scope_of_route
from changeover.domain.rollout import StageAction, StageRecord
from changeover.errors import InvalidInput, PublishFailed
from changeover.procedures import rollback
from changeover.procedures.notices import notify
from changeover.procedures.steps import CutoverRun, Found
from changeover.store import cutovers, routing, steps


def decide(
    run: CutoverRun, record: StageRecord, routes: tuple[str, ...], reason: str
) -> StageDecision:
    """Return what follows when the gates of these routes, and nothing else, failed.

    1. Which of them go back is saved before anything moves. 2. They are moved (`take_back`). 3. The
    stage soaks anew. A kill between these finds the same evaluation, and what was saved of it.
    4. An evaluation after that may fail by requests from before: a route that is at the baseline
    already cannot go back again, so people are asked.

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
        return said, {"routes": left}

    name = f"{_of_stage(record)} {record.round}.{record.rechecks}"
    again = _returned_before(run, record, routes)
    back = tuple(run.once(name, aim).data["routes"])
    if not back:
        said = f"{reason}; at the baseline already: route {', '.join(routes)}"
        return StageDecision(record.key, StageAction.ASK, said)
    if again:
        reason += (f"; route {', '.join(again)} went back in this stage before, and what a check "
                   "by evidence has counted since the stage began still speaks against it: to try "
                   "it again, end this cutover and start one from this stage")
    return StageDecision(record.key, StageAction.WAIT, reason, back)


def _of_stage(record: StageRecord) -> str:
    return f"failed routes of {record.key}"


def _returned_before(run: CutoverRun, record: StageRecord, routes: tuple[str, ...]) -> list[str]:
    """Return the routes that went back in an earlier round, and got their share again."""
    before = set()
    for step in steps.all_of(run.site.store, run.migration, run.subject):
        of_round = step.name.removeprefix(f"{_of_stage(record)} ").partition(".")[0]
        if step.name.startswith(f"{_of_stage(record)} ") and int(of_round) < record.round:
            before.update(step.data.get("routes", ()))
    return [name for name in routes if name in before]


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
    said = [_take_one_back(run, record, name, decision.reason) for name in decision.back]
    # last: a kill before it finds the same evaluation again, and takes back what is left
    rollback.soak_anew(run.site, clock.now())
    return "; ".join(said)


def _take_one_back(run: CutoverRun, record: StageRecord, name: str, why: str) -> str:
    site, scope = run.site, scope_of_route(name)
    cause = Cause(f"cutover {run.id}", f"the gate of stage {record.key} failed: {why}")
    occasion = f"{run.subject} {record.index} {record.round}.{record.rechecks} {scope}"
    target = smaller(site.plan, run.current_state(), scope)
    try:
        state = rollback.reduce(
            site, target, scope=scope, cause=cause, occasion=occasion, soaks_anew=False)
    except PublishFailed:
        # a gateway that lags must not keep the next route at the candidate; the state stands, and
        # the observer publishes it again
        state = routing.read(site.store, run.migration)
    notify(site, f"rollback of {scope} of {site.migration}",
           f"{cause.reason}; everyone else stays: {state.describe()}", Severity.CRITICAL,
           key=occasion)
    return f"{scope} is back at the baseline: {state.describe()}"
