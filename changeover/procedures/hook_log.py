"""What the step log says of hooks: which have begun, and which nobody has undone."""

from __future__ import annotations

from changeover.domain.hooks import ToUndo, to_undo
from changeover.domain.procedures import of_cutover
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.plan.model import PhaseKind, Plan
from changeover.site.site import Site
from changeover.store import cutovers, steps


def begun(site: Site, cutover_id: int) -> list[str]:
    """Return the keys of the stages of which a hook has begun in a cutover."""
    known = steps.all_of(site.store, site.migration, of_cutover(cutover_id))
    return list(dict.fromkeys(str(each.data["stage"]) for each in known if "hook" in each.data))


def left(site: Site, *, before_epoch: int | None = None) -> list[ToUndo]:
    """Return what hooks did and nobody has undone, newest first.

    Args:
        site: The migration.
        before_epoch: Of cutovers that began before this epoch; None: of any cutover.
    """
    found = []
    for cutover in cutovers.all_of(site.store, site.migration):
        if before_epoch is not None and cutover.epoch >= before_epoch:
            continue
        known = steps.all_of(site.store, site.migration, of_cutover(cutover.id))
        found += to_undo(site.plan, known)
    return sorted(found, key=lambda each: each.began_at, reverse=True)


def not_run_by_hand(plan: Plan, state: RoutingState, change: Change) -> list[str]:
    """Return a sentence for each stage whose users a person moves without its hooks.

    Args:
        plan: The migration's plan.
        state: The routing state before.
        change: What the person does.
    """
    most = 10_000 if change.mode is Mode.CANDIDATE_ONLY else change.weight or 0
    moved = dict(change.routes)
    found = []
    for stage in plan.stages():
        if stage.phase is PhaseKind.SHADOW:
            is_moved = change.mode is Mode.SHADOW
        elif stage.routes:
            is_moved = any(
                state.buckets_of(name) < stage.split <= moved.get(name, 0)
                for name in stage.routes)
        else:
            is_moved = state.weight < stage.weight <= most
        if is_moved and stage.hooks.text:
            found.append(f"the hooks of {stage.title} were not run: {stage.hooks.text}")
    return found
