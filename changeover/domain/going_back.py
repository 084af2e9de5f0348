"""What can be rolled back, and what is then left to the candidate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from changeover.domain.rollbacks import scope_of, scope_of_route
from changeover.domain.routing import BUCKETS, TRIED, Change, Mode, RoutingState, apply, is_back
from changeover.domain.stages import every_route
from changeover.errors import InvalidInput, Refused
from changeover.plan.model import PhaseKind, Plan, Stage

ALL, STEPS, STAGE = "all", "steps", "stage"
"""Scopes of a rollback, besides those of segments and routes."""


def scopes(plan: Plan) -> list[str]:
    """Return all that can be rolled back by a plan: `all`, `steps`, `stage`, `segment:beta`,
    `route:orders`.
    """
    found = [ALL]
    if plan.rollback.return_ is not None:
        found.append(STEPS)
    routes = [scope_of_route(each.name) for each in plan.routes if each.move != "never"]
    return [*found, STAGE, *map(scope_of, plan.routing.segments), *routes]


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left to the candidate after a part of the users went back.

    Args:
        weight, segments, epoch, kept, routes, kept_routes, mode: As in the routing state.
        part: What goes back, `segment:NAME` or `route:NAME`; empty for one stage back.
        version: Of the state that one stage back was decided in; None for a part.
    """

    weight: int
    segments: tuple[str, ...]
    epoch: int
    kept: tuple[str, ...] = ()
    routes: tuple[tuple[str, int], ...] = ()
    kept_routes: tuple[str, ...] = ()
    mode: Mode = Mode.GRADUAL
    part: str = ""
    version: int | None = None

    @classmethod
    def of(cls, state: RoutingState) -> Reduced:
        """Return what a state leaves to the candidate."""
        return cls(state.weight, state.segments, state.epoch, state.kept,
                   state.routes, state.kept_routes, state.mode)

    @property
    def change(self) -> Change:
        """The change that leads there; a rollback of everyone in between refuses it.

        A part goes back whatever else changed meanwhile: others may go back at the same moment.
        """
        if self.part:
            return Change(takes_back=self.part, expected_epoch=self.epoch)
        return Change(
            mode=self.mode, weight=self.weight, segments=self.segments, kept=self.kept,
            routes=self.routes, kept_routes=self.kept_routes, expected_epoch=self.epoch,
            expected_version=self.version)

    def is_of(self, state: RoutingState) -> bool:
        """Whether a state leaves just that; a route without any share is as one not named."""
        if self.part:
            return self.epoch == state.epoch and is_back(state, self.part)
        routes = tuple(sorted((name, weight) for name, weight in self.routes if weight))
        return replace(self, routes=routes, version=None) == Reduced.of(state)


def of_document(document: Mapping[str, Any]) -> Reduced:
    """Return what `asdict` made of it and JSON kept: lists where the record has tuples."""
    lists = {name: tuple(document.get(name, ())) for name in ("segments", "kept", "kept_routes")}
    routes = tuple((name, weight) for name, weight in document.get("routes", ()))
    mode = Mode(document.get("mode", Mode.GRADUAL))
    return Reduced(**{**document, **lists, "routes": routes, "mode": mode})


def smaller(plan: Plan, state: RoutingState, scope: str) -> Reduced:
    """Return what is left after a part of the users went back: one segment, one route, or the last
    stage.

    Args:
        plan: The migration's plan.
        state: The present routing state.
        scope: `segment:NAME`, `route:NAME`, or `stage` for one stage back.

    Raises:
        InvalidInput: `scope` is not understood.
        Refused: There is nothing smaller to go back to; roll back all then.
    """
    kind = scope.partition(":")[0]
    if scope not in scopes(plan) or scope in (ALL, STEPS):
        known = [each for each in scopes(plan) if ":" in each]
        raise InvalidInput(
            f"scope {scope!r} is unknown", allowed=", ".join([ALL, STAGE, *known]))
    if kind in ("segment", "route"):
        return _without_part(state, scope)
    lower = [stage for stage in plan.stages() if _has_fewer(plan, stage, state)]
    if not lower:
        why = "not done because no stage has fewer users"
        raise Refused(why, next_step="Use scope `all`")
    last = lower[-1]
    return replace(
        Reduced.of(state), mode=Mode.GRADUAL, weight=last.weight, segments=last.segments,
        routes=every_route(plan, last.shares), version=state.version)


def _without_part(state: RoutingState, part: str) -> Reduced:
    if part.startswith("segment:") and state.mode is not Mode.GRADUAL:
        why = (f"not done because the routing state is {state.describe()}, "
               "which knows no segments")
        raise Refused(why, next_step="Use scope `stage` or `all`")
    if state.mode not in TRIED:
        why = f"not done because the routing state is {state.describe()}"
        raise Refused(why, next_step="Use scope `all`")
    # added to those that were kept before: each goes back by itself
    return replace(Reduced.of(apply(state, Change(takes_back=part))), part=part)


def _has_fewer(plan: Plan, stage: Stage, state: RoutingState) -> bool:
    """Whether a stage has fewer users, and no route has more: shares grow from stage to stage."""
    if stage.phase not in (PhaseKind.BETA, PhaseKind.GRADUAL):
        return False
    mine = dict(state.routes)
    if state.mode is Mode.CANDIDATE_ONLY:
        mine = {each.name: BUCKETS for each in plan.routes if each.move == "alone"}
    # a route that went back alone stays where it is: it says nothing about the stages
    shares = {name: weight for name, weight in stage.shares if name not in state.kept_routes}
    mine = {name: weight for name, weight in mine.items() if name not in state.kept_routes}
    has_more = stage.weight > state.weight or any(
        shares[name] > mine.get(name, 0) for name in shares)
    has_less = stage.weight < state.weight or any(
        mine[name] > shares.get(name, 0) for name in mine)
    return has_less and not has_more
