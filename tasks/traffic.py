"""Moving traffic: the routing state first, then the gateway, then its confirmation."""

from __future__ import annotations

from changeover import clock
from changeover.domain import stages
from changeover.domain.audit import Author
from changeover.domain.routing import Change
from changeover.plan.model import Stage
from changeover.procedures import partial_rollback, share_again, traces, traffic
from changeover.procedures.steps import CutoverRun
from changeover.site.site import Site
from changeover.store import cutovers, routing
from tasks.flow_runs import root_run_id
from tasks.steps import step


@step(name="move traffic", task_run_name="move traffic: {stage}")
def move_traffic(run: CutoverRun, stage: str) -> str:
    """Put the stage's share of users on the candidate; done when the gateway confirmed it.

    The soak begins only then. A stage that was entered before is left as it is.

    Raises:
        StaleEpoch: A rollback came first.
        PublishFailed: The gateway did not confirm.
    """
    state = run.current_state()
    # its users are there already: moving them again would undo what a rollback of a part did
    if cutovers.stage(run.site.store, run.id, stage) is not None:
        return state.describe()
    spec, begun = run.site.plan.stage(stage), clock.now()
    state = share_again.give_share(run, spec, f"stage {spec.title} begins")
    # after the gateway's confirmation: no second of the soak is without users
    cutovers.enter_stage(run.site.store, run.id, spec, now=clock.now())
    traces.began_stage(run, stage, begun)
    return state.describe()


def has_users(site: Site, stage: Stage) -> bool:
    """Whether the users are moved that a stage says, and no part of them was rolled back."""
    state = routing.read(site.store, site.migration)
    return stages.has_users(state, stage, site.plan)


@step(name="move a part back", task_run_name="back: {scope}")
def move_part_back(site: Site, reason: str, scope: str) -> str:
    """Move one segment, or the last stage's users, back to the baseline; once for this flow run."""
    return partial_rollback.move_back(site, scope, reason, root_run_id())


def soaks_again(run: CutoverRun, stage: str, round_: int) -> bool:
    """Whether a stage that people promote has lost users to a partial rollback in this round."""
    record = cutovers.stage(run.site.store, run.id, stage)
    if record is None:
        return False
    # asked first: a run that wakes up makes every call of an earlier one again, and no other
    if record.round > round_:
        return True
    return record.decided_at is None and not has_users(run.site, run.site.plan.stage(stage))


@step(name="note share", task_run_name="note share: {stage}")
def note_share_due(run: CutoverRun, stage: str, round_: int) -> None:
    """Save that the stage's users come again, before its round ends.

    Raises:
        StaleEpoch: A rollback came first.
    """
    share_again.note_due(run, stage, round_)


@step(name="give back share", task_run_name="give back share: {stage}")
def give_back_share(run: CutoverRun, stage: str, round_: int) -> str:
    """Move the stage's users again after a rollback of a part, once for each round.

    Raises:
        StaleEpoch: A rollback came first.
        PublishFailed: The gateway did not confirm.
    """
    return share_again.give(run, stage, round_)


@step(name="finish giving back share", task_run_name="finish giving back share: {stage}")
def finish_share(run: CutoverRun, stage: str) -> None:
    """Move the stage's users again where that is due since a run before this one was killed.

    Raises:
        StaleEpoch: A rollback came first.
        PublishFailed: The gateway did not confirm.
    """
    share_again.finish(run, stage)


@step(name="maintenance", task_run_name="maintenance on={is_on}")
def set_maintenance(site: Site, is_on: bool, reason: str) -> str:
    """Switch the maintenance answer and wait for the gateway's confirmation."""
    change = Change(maintenance=is_on, maintenance_reason=reason)
    state = traffic.move(site, change, Author("maintenance/main", reason))
    return state.describe()
