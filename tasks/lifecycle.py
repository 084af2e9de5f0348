"""Begin and end of a cutover in the store."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL

from changeover import clock
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.errors import CutoverActive, Refused
from changeover.observer.carrying import ended_now
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import PREFECT_SECONDS
from changeover.store import carriers, cutovers
from tasks.runtime import Runtime, root_run_id, runtime_of
from tasks.steps import step


@step(name="begin cutover")
def begin_cutover(migration: str, flow: str = "cutover") -> int:
    """Open the cutover in the store, find the one that this run carries, or continue one.

    One is continued whose own run has ended in Prefect without ending it (cancelled, deleted,
    given up): it goes on where it was, and its former run may do nothing more.

    Args:
        migration: Name of the migration.
        flow: The flow that carries it: a phase alone is continued by that phase's flow.

    Returns:
        The cutover's id.

    Raises:
        CutoverActive: Another cutover of the migration has not ended, and its run goes on.
        Refused: The routing state allows no cutover.
    """
    runtime, own = runtime_of(migration), str(root_run_id())
    try:
        return cutovers.begin(
            runtime.store, migration, flow_run_id=own, now=clock.now(), flow=flow).id
    except CutoverActive as other:
        return _continue(runtime, flow, own, other)


def _continue(runtime: Runtime, flow: str, own: str, other: CutoverActive) -> int:
    """Take up the running cutover when nobody carries it on; return its id.

    Raises:
        CutoverActive: Its run goes on.
        Refused: Another flow began it, which does something else.
    """
    cutover = cutovers.active(runtime.store, runtime.migration)
    if cutover is None:
        raise other
    subject = cutovers.subject(cutover.id)
    carrier = carriers.one(runtime.store, runtime.migration, subject)
    if carrier is None:
        raise other
    now, api = clock.now(), PrefectApi(str(PREFECT_API_URL.value()), timeout=PREFECT_SECONDS)
    if ended_now(runtime.store, api, carrier, now=now) is None:
        raise other
    if carrier.flow != flow:
        raise Refused(
            f"not continued because {carrier.flow}/main began cutover {cutover.id}",
            next_step="Run `changeover continue`, which starts that flow again")
    if not cutovers.adopt(runtime.store, cutover.id, before=carrier.flow_run_id, flow_run_id=own,
                          flow=flow, now=now):
        raise other
    return cutover.id


@step(name="end cutover", task_run_name="end cutover: {status}")
def end_cutover(migration: str, cutover_id: int, status: str, outcome: str) -> str:
    """Close the cutover with its outcome; the first outcome stands.

    Returns:
        The status that stands.
    """
    ended = cutovers.finish(
        runtime_of(migration).store,
        cutover_id,
        CutoverStatus(status),
        outcome=outcome,
        now=clock.now(),
    )
    return str(ended.status)


def cutover_of(migration: str, cutover_id: int) -> Cutover:
    """Return the cutover's record."""
    return cutovers.get(runtime_of(migration).store, cutover_id)


def has_begun(migration: str, cutover_id: int) -> bool:
    """Whether a stage was entered: then everything before the stages was done."""
    return bool(cutovers.stages(runtime_of(migration).store, cutover_id))
