"""Where a stage of the plan puts traffic. Pure.

The only place that says it: flows, gates and the command line all ask here.
"""

from __future__ import annotations

from changeover.domain.routing import Change, Mode, RoutingState
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
        shadow_sample=shadow_buckets(plan),
        expected_epoch=epoch,
    )


def stage_at(state: RoutingState, plan: Plan) -> str | None:
    """Return the key of the stage whose mode and percentage traffic has; None for none of them.

    Segments do not matter: a stage of which one was rolled back is still that stage.
    """
    for stage in plan.stages():
        if (state.mode, state.weight) == (_MODES[stage.phase], stage.weight):
            return stage.key
    return None


def _share(one: RoutingState | Change) -> tuple[object, ...]:
    return one.weight, one.segments, one.kept


def has_share(state: RoutingState, stage: Stage, plan: Plan) -> bool:
    """Whether traffic is where a stage puts it, and no part of its users was rolled back."""
    wanted = change_for(stage, plan, state.epoch)
    # in `gradual` requests are copied as well, so the sample counts in every mode
    if (state.mode, state.shadow_sample) != (wanted.mode, wanted.shadow_sample):
        return False
    # every other mode has one share only
    is_split = state.mode is Mode.GRADUAL
    return not is_split or _share(state) == _share(wanted)
