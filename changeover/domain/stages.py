"""Where a stage of the plan puts traffic. Pure.

The only place that says it: flows, gates and the command line all ask here.
"""

from __future__ import annotations

from changeover.domain.routing import BUCKETS, ON_USERS, Change, Mode, RoutingState
from changeover.plan.model import PhaseKind, Plan, Stage

_MODES = {
    PhaseKind.SHADOW: Mode.SHADOW,
    PhaseKind.BETA: Mode.GRADUAL,
    PhaseKind.GRADUAL: Mode.GRADUAL,
    PhaseKind.FULL: Mode.CANDIDATE_ONLY,
}


def shadow_buckets(plan: Plan) -> int:
    """Return the buckets of requests that the plan wants copied to the candidate; 0 for none."""
    return int(plan.shadow.sample * 100) if plan.shadow else 0


def change_for(stage: Stage, plan: Plan, epoch: int) -> Change:
    """Return the change that gives a stage its share of traffic.

    Args:
        stage: A stage of the plan.
        plan: The migration's plan.
        epoch: The epoch in which this was decided; a rollback since then refuses the change.
    """
    return Change(
        mode=_MODES[stage.phase],
        weight=stage.weight,
        segments=stage.segments,
        kept=(),  # people decide that a segment that was rolled back comes again
        routes=every_route(plan, stage.shares),
        kept_routes=(),  # as for segments
        shadow_sample=shadow_buckets(plan),
        expected_epoch=epoch,
    )


def every_route(plan: Plan, shares: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Return the buckets of each route of its own; none for those that have not moved."""
    known = dict(shares)
    return tuple((each.name, known.get(each.name, 0))
                 for each in plan.routes if each.move == "alone")


def everyone(plan: Plan) -> Change:
    """Return the change that gives the candidate all but the routes that never move."""
    shares = tuple((each.name, BUCKETS) for each in plan.routes)
    return Change(mode=Mode.CANDIDATE_ONLY, weight=BUCKETS, routes=every_route(plan, shares))


def split_of(stage: Stage, state: RoutingState) -> int:
    """Return the buckets by which the users are split whom a stage is about; they are not those of
    the plan after a rollback of a part.
    """
    if not stage.routes:
        return state.weight
    # one that went back alone leaves the evidence of the others as it is
    return min((state.buckets_of(name) for name in stage.routes if name not in state.kept_routes),
               default=0)


def is_ahead(stage: Stage, state: RoutingState) -> bool:
    """Whether a stage has more of anything than users have now, of a route or of the rest, and less
    of nothing. A route that went back alone does not count: people give it back by its name.
    """
    shares = {name: weight for name, weight in stage.shares if name not in state.kept_routes}
    here = {name: weight for name, weight in state.routes if name not in state.kept_routes}
    has_more = stage.weight > state.weight or any(
        weight > here.get(name, 0) for name, weight in shares.items())
    has_less = stage.weight < state.weight or any(
        weight > shares.get(name, 0) for name, weight in here.items())
    return has_more and not has_less


def takes_back(stage: Stage, state: RoutingState) -> bool:
    """Whether entering a stage would take the candidate from users who have it now."""
    if state.mode not in ON_USERS or stage.phase is PhaseKind.FULL:
        return False
    # copies are for a candidate that answers nobody: the mode cannot even be entered
    if stage.phase is PhaseKind.SHADOW or stage.weight < state.weight:
        return True
    shares = dict(stage.shares)
    return not set(state.segments) <= set(stage.segments) or any(
        weight > shares.get(name, 0) for name, weight in state.routes)


def stage_at(state: RoutingState, plan: Plan) -> str | None:
    """Return the key of the stage whose mode and percentages traffic has; None for none of them.

    Segments do not matter: a stage of which one was rolled back is still that stage. Nor does a
    route that was rolled back alone.
    """
    kept = state.kept_routes
    for stage in plan.stages():
        if (state.mode, state.weight) != (_MODES[stage.phase], stage.weight):
            continue
        is_split = state.mode is Mode.GRADUAL
        if not is_split or _others(state.routes, kept) == _others(stage.shares, kept):
            return stage.key
    return None


def _others(shares: tuple[tuple[str, int], ...], kept: tuple[str, ...]) -> list[tuple[str, int]]:
    return sorted((name, weight) for name, weight in shares if weight and name not in kept)


def _share(one: RoutingState | Change) -> tuple[object, ...]:
    return one.weight, one.segments, one.kept, _others(one.routes, ())


def has_share(state: RoutingState, stage: Stage, plan: Plan) -> bool:
    """Whether traffic is where a stage puts it, and no part of its users was rolled back."""
    wanted = change_for(stage, plan, state.epoch)
    # in `gradual` requests are copied as well, so the sample counts in every mode
    return state.shadow_sample == wanted.shadow_sample and has_users(state, stage, plan)


def has_users(state: RoutingState, stage: Stage, plan: Plan) -> bool:
    """Whether users are where a stage puts them, however many of their requests are copied."""
    wanted = change_for(stage, plan, state.epoch)
    if state.mode != wanted.mode or state.kept_routes:
        return False
    # every other mode has one share only
    is_split = state.mode is Mode.GRADUAL
    return not is_split or _share(state) == _share(wanted)
