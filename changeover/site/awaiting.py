"""What the store says of a migration to those who wait for something."""

from __future__ import annotations

from changeover.domain.awaited import Seen
from changeover.domain.rollout import Cutover
from changeover.domain.routing import Mode
from changeover.store import approvals, cutovers, routing
from changeover.store.engine import Store


def look(store: Store, migration: str, wanted: int | None = None) -> Seen:
    """Return how a migration stands.

    Args:
        store: The store.
        migration: Name of the migration.
        wanted: Id of the cutover that is waited for; None for the newest one.
    """
    cutover = cutovers.latest(store, migration)
    # one that was asked for by its number has perhaps not begun yet
    if wanted is not None and (cutover is None or cutover.id != wanted):
        cutover = _one(store, migration, wanted)
        if cutover is None:
            return Seen()
    state = routing.read(store, migration)
    # a rollback raises the epoch at once, before the cutover's flow hears of it
    is_going = cutover is not None and state.epoch != cutover.epoch
    is_going = is_going or state.mode in (Mode.EMERGENCY_ROLLBACK, Mode.RETURNING)
    is_back = is_going and state.mode is not Mode.RETURNING
    if cutover is None:
        return Seen(is_going_back=is_going, is_rolled_back=is_back)
    asked = approvals.open_for(store, migration)
    is_own = asked is not None and asked.cutover_id == cutover.id
    stages = {each.key: each.status for each in cutovers.stages(store, cutover.id)}
    return Seen(
        cutover.id, cutover.status, is_going, is_back,
        asked.stage if asked is not None and is_own else "", stages)


def _one(store: Store, migration: str, number: int) -> Cutover | None:
    known = {each.id: each for each in cutovers.all_of(store, migration)}
    return known.get(number)
