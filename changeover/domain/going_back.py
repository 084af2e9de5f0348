"""What can be rolled back, and what is then left to the candidate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.rollbacks import scope_of
from changeover.domain.routing import Mode, RoutingState
from changeover.errors import InvalidInput, Refused
from changeover.plan.model import PhaseKind, Plan

ALL, STEPS, STAGE = "all", "steps", "stage"
"""Scopes of a rollback, besides those of segments."""


def scopes(plan: Plan) -> list[str]:
    """Return all that can be rolled back by a plan: `all`, `steps`, `stage`, `segment:beta`."""
    found = [ALL]
    if plan.rollback.return_ is not None:
        found.append(STEPS)
    # routes with a split of their own will stand here, as `route:NAME`
    return [*found, STAGE, *map(scope_of, plan.routing.segments)]


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left to the candidate after a part of the users went back."""

    weight: int
    segments: tuple[str, ...]
    epoch: int
    kept: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: RoutingState) -> Reduced:
        """Return what a state leaves to the candidate."""
        return cls(state.weight, state.segments, state.epoch, state.kept)


def smaller(plan: Plan, state: RoutingState, scope: str) -> Reduced:
    """Return what is left after a part of the users went back: one segment, or the last stage.

    Args:
        plan: The migration's plan.
        state: The present routing state.
        scope: `segment:NAME`, or `stage` for one stage back.

    Raises:
        InvalidInput: `scope` is not understood.
        Refused: There is nothing smaller to go back to; roll back all then.
    """
    kind, _, name = scope.partition(":")
    if kind == "segment" and name in plan.routing.segments:
        if state.mode is not Mode.GRADUAL:
            why = (f"not done because the routing state is {state.describe()}, "
                   "which knows no segments")
            raise Refused(why, next_step="Use scope `stage` or `all`")
        left = tuple(each for each in state.segments if each != name)
        # added to those that were kept before: each segment goes back by itself
        kept = tuple(sorted({*state.kept, name}))
        return Reduced(state.weight, left, state.epoch, kept)
    if scope != "stage":
        known = ", ".join(f"segment:{each}" for each in plan.routing.segments)
        raise InvalidInput(
            f"scope {scope!r} is unknown", allowed=f"all, stage, {known}")
    lower = None
    # the last one that has fewer: stages are in order, and their shares grow
    for stage in plan.stages():
        is_partial = stage.phase in (PhaseKind.BETA, PhaseKind.GRADUAL)
        if is_partial and stage.weight < state.weight:
            lower = stage
    if lower is None:
        why = "not done because no stage has fewer users"
        raise Refused(why, next_step="Use scope `all`")
    return Reduced(lower.weight, lower.segments, state.epoch, state.kept)
