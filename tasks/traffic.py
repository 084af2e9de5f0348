"""Moving traffic: the routing state first, then the gateway, then its confirmation."""

from __future__ import annotations

from dataclasses import asdict

from changeover import clock
from changeover.domain import stages
from changeover.domain.messages import Severity
from changeover.domain.procedures import StepStatus, of_cutover
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change
from changeover.errors import Refused, Unreachable
from changeover.plan.model import Stage
from changeover.procedures import rollback, traffic
from changeover.site.site import Site
from changeover.store import cutovers, routing
from tasks.lifecycle import cutover_of
from tasks.procedure import Found, once
from tasks.reporting import tell
from tasks.runtime import Runtime, current_state, own_run_id, root_run_id, runtime_of
from tasks.steps import step


@step(name="move traffic", task_run_name="move traffic: {stage}")
def move_traffic(migration: str, cutover_id: int, stage: str) -> str:
    """Put the stage's share of users on the candidate; done when the gateway confirmed it.

    The soak begins only then. A stage that was entered before is left as it is.

    Returns:
        The routing state in one phrase.

    Raises:
        StaleEpoch: A rollback came first.
        PublishFailed: The gateway did not confirm.
    """
    runtime = runtime_of(migration)
    cutover = cutover_of(migration, cutover_id)
    state = current_state(runtime, cutover)
    if cutovers.stage(runtime.store, cutover_id, stage) is not None:
        return state.describe()
    spec = runtime.plan.stage(stage)
    state = traffic.give_share(
        site_of(runtime), spec, epoch=cutover.epoch, carried_by=_carried_by(cutover_id),
        actor=f"cutover {cutover_id}", reason=f"stage {spec.title} begins")
    cutovers.enter_stage(runtime.store, cutover_id, spec, now=clock.now())
    return state.describe()


def has_share(runtime: Runtime, stage: Stage) -> bool:
    """Whether the users are moved that a stage says, and no part of them was rolled back."""
    state = routing.read(runtime.store, runtime.migration)
    return stages.has_share(state, stage, runtime.plan)


@step(name="move a part back", task_run_name="back: {scope}")
def move_part_back(migration: str, reason: str, scope: str) -> str:
    """Move one segment, or the last stage's users, back to the baseline; once for this flow run.

    Returns:
        The routing state in one phrase.
    """
    runtime = runtime_of(migration)
    occasion = f"partial-{root_run_id()}"

    def aim() -> Found:
        left = rollback.smaller(runtime.plan, routing.read(runtime.store, migration), scope)
        return f"{left.weight / 100:g} % and {', '.join(left.segments) or 'no segment'} stay", \
            asdict(left)

    def move() -> Found:
        target = rollback.Reduced(**{**aimed.data, "segments": tuple(aimed.data["segments"])})
        state = rollback.reduce(
            site_of(runtime), target, scope=scope, occasion=occasion,
            cause=Cause(reason, "rollback/main"))
        return f"{scope} is back at the baseline: {state.describe()}", {}

    # kept before anything moves: after a kill one stage back is not one more stage back
    aimed = once(runtime, occasion, "what is left", aim)
    found = aimed
    if aimed.status is StepStatus.DONE:
        found = once(runtime, occasion, "move a part back", move)
    if found.status is not StepStatus.DONE:
        raise Refused(found.detail)
    tell(migration, f"rollback of {scope} of {migration}", reason, Severity.CRITICAL,
         key=occasion)
    return found.detail


def soaks_again(migration: str, cutover_id: int, stage: str, round_: int) -> bool:
    """Whether a stage that people promote has lost users to a partial rollback in this round."""
    runtime = runtime_of(migration)
    record = cutovers.stage(runtime.store, cutover_id, stage)
    if record is None or record.decided_at is not None:
        return False
    return record.round > round_ or not has_share(runtime, runtime.plan.stage(stage))


@step(name="give back share", task_run_name="give back share: {stage}")
def give_back_share(migration: str, cutover_id: int, stage: str, round_: int) -> str:
    """Move the stage's users again after a rollback of a part, once for each round.

    Raises:
        StaleEpoch: A rollback came first.
        PublishFailed: The gateway did not confirm.
    """
    runtime = runtime_of(migration)
    cutover = cutover_of(migration, cutover_id)
    current_state(runtime, cutover)
    spec = runtime.plan.stage(stage)

    def move() -> Found:
        state = traffic.give_share(
            site_of(runtime), spec, epoch=cutover.epoch, carried_by=_carried_by(cutover_id),
            actor=f"cutover {cutover_id}", reason=f"stage {spec.title} again, as people decided")
        return state.describe(), {}

    found = once(runtime, of_cutover(cutover_id), f"users of {stage} again {round_}", move)
    if found.status is not StepStatus.DONE:
        raise Unreachable(found.detail)
    return found.detail


def _carried_by(cutover_id: int) -> tuple[str, str] | None:
    """Return what must still hold when traffic moves: this run carries the cutover."""
    own = own_run_id()
    return (cutovers.subject(cutover_id), own) if own is not None else None


def site_of(runtime: Runtime) -> Site:
    """Return the migration that a runtime is connected to."""
    return Site(runtime.home, runtime.plan, runtime.store, runtime.gateway)


@step(name="maintenance", task_run_name="maintenance on={is_on}")
def set_maintenance(migration: str, is_on: bool, reason: str) -> str:
    """Switch the maintenance answer and wait for the gateway's confirmation.

    Returns:
        The routing state in one phrase.
    """
    runtime = runtime_of(migration)
    state = traffic.move(
        site_of(runtime), Change(maintenance=is_on, maintenance_reason=reason),
        actor="maintenance/main", reason=reason)
    return state.describe()
