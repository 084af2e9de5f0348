"""Giving a stage its share of users again, after a rollback of a part, as people decided.

1. That it is due is saved, with the users whom the stage has then. 2. The next round begins.
3. The users are moved, and the gateway confirms it; from then on the stage soaks. A kill between
these finds what is due, and does it before anything is judged (`finish`). 4. A part that goes back
after 1 stays back, whoever did it: people are asked about it when the soak is over.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from changeover import clock
from changeover.domain import stages as shares
from changeover.domain.audit import Author
from changeover.domain.going_back import Reduced, of_document
from changeover.domain.procedures import Step, StepStatus, again_step, due_again_step
from changeover.domain.routing import RoutingState
from changeover.errors import StaleEpoch, Unreachable
from changeover.plan.model import Stage
from changeover.procedures import stages, traffic
from changeover.procedures.steps import CutoverRun, Found
from changeover.store import audit, cutovers

CHANGED = "routing.changed"


def give_share(
    run: CutoverRun, stage: Stage, reason: str, *, again: str = "", version: int | None = None
) -> RoutingState:
    """Put a stage's share of users on the candidate, as this cutover and this run.

    Args:
        run: The cutover.
        stage: The stage.
        reason: Why, for the audit.
        again: Name of the step for which it is given again; empty the first time.
        version: Of the routing state that may be changed; None: any.

    Raises:
        StaleEpoch: A rollback came first, or the routing state has another version.
        PublishFailed: The gateway did not confirm.
    """
    change = shares.change_for(stage, run.site.plan, run.epoch)
    # another run may have taken the cutover up meanwhile: then this one moves nobody
    change = replace(change, carried_by=run.carried_by, expected_version=version,
                     audited={"again": again} if again else {})
    return traffic.give_share(run.site, stage, change, Author(f"cutover {run.id}", reason))


def note_due(run: CutoverRun, stage: str, round_: int) -> None:
    """Save that the users come again after this round, before the round ends.

    Raises:
        StaleEpoch: A rollback came first.
    """
    record = cutovers.stage(run.site.store, run.id, stage)
    # the round ended before, and a run that begins again passes it once more
    if record is None or record.round != round_:
        return

    def note() -> Found:
        store, migration = run.site.store, run.migration
        # before the state is read: what changes it in between is found again by `_is_overtaken`
        last = audit.newest_of(store, migration, CHANGED)
        state = run.current_state()
        said = f"the users of {stage} come again: {state.describe()}"
        return said, {"seq": last.seq if last else 0, "version": state.version,
                      "left": asdict(Reduced.of(state))}

    run.once(due_again_step(stage, round_), note)


def finish(run: CutoverRun, stage: str) -> None:
    """Give the users again that are due since a run before this one was killed.

    Raises:
        StaleEpoch: A rollback came first.
        Unreachable: It was not done, and must be tried again.
    """
    record = cutovers.stage(run.site.store, run.id, stage)
    if record is None or record.decided_at is not None:
        return
    # killed after the next round began, or before
    for round_ in (record.round - 1, record.round):
        known = run.known(again_step(stage, round_))
        is_done = known is not None and known.status is StepStatus.DONE
        if not is_done and run.known(due_again_step(stage, round_)) is not None:
            stages.hold(run, stage, round_)
            give(run, stage, round_)


def give(run: CutoverRun, stage: str, round_: int) -> str:
    """Move the users again that are due after a round, once; return what was done, in words.

    Raises:
        StaleEpoch: A rollback of everyone came first.
        PublishFailed: The gateway did not confirm.
        Unreachable: It was not done, and must be tried again.
    """
    run.current_state()
    due = run.known(due_again_step(stage, round_))
    if due is None:
        return f"{stage} keeps the users that it has"
    found = run.once(again_step(stage, round_), lambda: _give(run, run.site.plan.stage(stage), due))
    if found.status is not StepStatus.DONE:
        raise Unreachable(found.detail)
    return found.detail


def _give(run: CutoverRun, stage: Stage, due: Step) -> Found:
    state = run.current_state()
    if not shares.has_share(state, stage, run.site.plan) and _is_overtaken(run, state, due):
        return f"not moved again because users went back meanwhile: {state.describe()}", {}
    reason = f"stage {stage.title} again, as people decided"
    try:
        state = give_share(run, stage, reason, again=due.name, version=state.version)
    except StaleEpoch as stale:
        # raised when everyone went back; else a part did, or people switched maintenance
        run.current_state()
        raise Unreachable(f"{stage.title} is looked at again: {stale}") from stale
    # not from when the round began: these users were not there yet
    cutovers.soak_until_at_least(
        run.site.store, run.id, stage.key, until=clock.now() + stage.soak)
    return state.describe(), {}


def _is_overtaken(run: CutoverRun, state: RoutingState, due: Step) -> bool:
    """Whether users were moved otherwise since it was due, before they came again or after."""
    if state.version == due.data["version"]:
        return False
    if Reduced.of(state) != of_document(due.data["left"]):
        return True
    # as before: of a part that came again and went back, or of maintenance on and off
    since = audit.events(run.site.store, run.migration, after_seq=due.data["seq"])
    return any(event.data.get("again") == due.name for event in since)
