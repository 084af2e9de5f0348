"""Routes that do not fit the rest of the plan, and those that deserve a warning. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from changeover.plan.conditions import Condition
from changeover.plan.location import Location
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.triggers import TriggerAction

Found = tuple[Location, str]
LONGEST_KEY = 64
"""Characters of a stage's or gate's name in the store."""


def problems(plan: Plan) -> Iterator[Found]:
    """Return the place of everything about routes that cannot be."""
    names = [route.name for route in plan.routes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("routes", index, "name"), (
                f"another route is called {name!r}; each needs a name of its own")
    for index, phase in enumerate(plan.phases):
        yield from _named(plan, ("phases", index, "routes"), phase.routes)
        if phase.routes and phase.segments:
            yield ("phases", index, "segments"), _NO_SEGMENTS
        for number, stage in enumerate(phase.stages):
            path = ("phases", index, "stages", number)
            yield from _named(plan, (*path, "routes"), stage.routes or ())
            of_routes = phase.routes if stage.routes is None else stage.routes
            if of_routes and stage.segments:
                yield (*path, "segments"), _NO_SEGMENTS
            if of_routes and not stage.percent:
                yield (*path, "percent"), "0 %: a route's share must be above 0, and 100 at most"
    yield from _keys(plan)
    yield from _conditions(plan)
    if any(route.rewrite for route in plan.routes):
        yield from _not_seen_by_systems(plan)


def _not_seen_by_systems(plan: Plan) -> Iterator[Found]:
    for index, route in enumerate(plan.routes):
        for each in route.header:
            # the requests are told apart once more behind the hop, where these are gone
            if each.name.startswith("x-envoy-"):
                yield ("routes", index, "header"), (
                    f"header {each.name} is for the gateway alone, and so a plan with `rewrite` "
                    "cannot tell requests by it; use a name of your own")


def _conditions(plan: Plan) -> Iterator[Found]:
    for gate, checks in plan.gates.items():
        for index, check in enumerate(checks):
            yield from _measured(plan, check, ("gates", gate, index, "route"))
    for index, trigger in enumerate(plan.triggers):
        yield from _measured(plan, trigger, ("triggers", index, "route"))


def _measured(plan: Plan, condition: Condition, path: Location) -> Iterator[Found]:
    if condition.route is None:
        return
    known = ", ".join(route.name for route in plan.routes) or "none, the plan has no routes"
    route = plan.route(condition.route)
    if route is None:
        yield path, f"route {condition.route!r} is not defined; defined are {known}"
    elif route.move == "never" and (condition.of == "candidate" or condition.is_to_baseline):
        yield path, (f"route {condition.route!r} never moves, so the candidate has no request of "
                     "it; use `of: baseline` with a fixed bound, or another route")
    elif route.move == "never" and getattr(condition, "action", None) is TriggerAction.ROLLBACK:
        yield path, (f"route {condition.route!r} never moves, so nothing of it can be rolled back; "
                     "use `action: alert` or `hold`")


_NO_SEGMENTS = ("a stage of routes moves no segments: a route of its own has its own percent only; "
                "move segments in a stage without routes")


def _named(plan: Plan, path: Location, names: Sequence[str]) -> Iterator[Found]:
    known = ", ".join(route.name for route in plan.routes if route.move == "alone")
    for name in names:
        route = plan.route(name)
        if route is None:
            yield path, (f"route {name!r} is not defined; defined are "
                         f"{known or 'none, the plan has no route with a place of its own'}")
        elif route.move == "never":
            yield path, (f"route {name!r} never moves (`move: never`), and so no stage moves it; "
                         f"those that move alone are {known or 'none'}")
        elif route.move == "together":
            yield path, (f"route {name!r} moves with everything else (`move: together`), and so no "
                         f"stage moves it alone; those that do are {known or 'none'}")
    if len(set(names)) != len(names):
        yield path, "a route is named twice; name each once"


def _keys(plan: Plan) -> Iterator[Found]:
    keys = [stage.key for stage in plan.stages()]
    for gate in {gate for stage in plan.stages() for gate in stage.gates if stage.routes}:
        if len(gate) > LONGEST_KEY:
            yield ("phases",), (
                f"the gate of a route would be called {gate}, and {LONGEST_KEY} characters are the "
                "most; give the gate or the route a shorter name")
    for key in keys:
        if len(key) > LONGEST_KEY:
            yield ("phases",), (
                f"the stage would be called {key}, and {LONGEST_KEY} characters are the most; "
                "give fewer routes to one stage, or shorter names")
    for before, after in pairwise(sorted(keys)):
        # two stages of one percentage are told as such elsewhere
        if before == after and any(stage.routes for stage in plan.stages() if stage.key == after):
            yield ("phases",), f"two stages would be called {after}; name other routes in one"


def warnings(plan: Plan) -> list[str]:
    """Return what a person should know about routes that are possible."""
    stages = plan.stages()
    named = {name for stage in stages for name in stage.routes}
    has_full = any(stage.phase is PhaseKind.FULL for stage in stages)
    found = []
    for route in plan.routes:
        if route.move == "alone" and route.name not in named:
            until = "phase full moves it at once" if has_full else "it stays at the baseline"
            found.append(f"route {route.name} is in no stage: {until}")
    return found
