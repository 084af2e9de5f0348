"""Begin and end of a cutover in the store."""

from __future__ import annotations

from changeover import clock
from changeover.store import cutovers
from changeover.store.records import Cutover, CutoverStatus
from tasks.runtime import root_run_id, runtime_of
from tasks.steps import step


@step(name="begin cutover")
def begin_cutover(migration: str) -> int:
    """Open the cutover in the store, or find the one that this run opened before.

    Returns:
        The cutover's id.

    Raises:
        CutoverActive: Another cutover of the migration has not ended.
        Refused: The routing state allows no cutover.
    """
    runtime = runtime_of(migration)
    cutover = cutovers.begin(
        runtime.store, migration, flow_run_id=str(root_run_id()), now=clock.now()
    )
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
