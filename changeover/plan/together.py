"""What is impossible across the plans of a group: unknown members and stages, circles. Pure.

A stage that waits for a stage that waits for the first one would wait for ever. The order of the
members makes a stage wait as well, so both are looked at together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from changeover.plan.location import Location
from changeover.plan.members import FINISHED, WaitSpec, reach_of_stage

if TYPE_CHECKING:
    from changeover.plan.model import Plan

Node = tuple[str, str]
"""A migration and the key of a stage that is entered; FINISHED: its whole cutover."""
Found = tuple[Location, str]
GROUP = ("group",)


def alone(plan: Plan) -> Iterator[Found]:
    """Yield what is impossible in one plan, whatever the others say."""
    for path, _, wait in _waits(plan):
        if plan.group is None:
            yield path, ("`waits_for` needs `group: {name: ..., order: ...}`: only members of the "
                         "same group can be waited for")
        elif wait.migration == plan.migration:
            yield (*path, "migration"), (
                f"a stage cannot wait for its own migration {plan.migration}; allowed are other "
                f"members of group {plan.group.name}")


def problems(plan: Plan, others: Sequence[Plan], *, are_all: bool = False) -> list[Found]:
    """Return what makes a plan impossible beside others.

    Args:
        plan: The plan.
        others: Other plans, of its group or not.
        are_all: Whether these are all of its group; else others may be registered later.
    """
    if plan.group is None:
        return []
    known = {other.migration: other for other in others if other.migration != plan.migration}
    group = plan.group.name
    members = {name: other for name, other in known.items()
               if other.group is not None and other.group.name == group}
    found = [problem for path, _, wait in _waits(plan)
             if (problem := _unknown(path, wait, known, members, are_all=are_all))]
    if found:
        return found
    circle = circle_of({**members, plan.migration: plan}, plan.migration)
    return [_closed(plan, circle)] if circle else []


def missing(plan: Plan, others: Sequence[Plan]) -> list[str]:
    """Return what a person should know of members that are not there yet, or move other users."""
    if plan.group is None:
        return []
    group = plan.group.name
    members = [other for other in others if other.group is not None and other.group.name == group
               and other.migration != plan.migration]
    orders = {other.group.order for other in members if other.group is not None}
    names = {other.migration for other in members}
    found = [f"nobody of order {order} of group {group} is registered in this store yet; this "
             "plan's stages wait for it" for order in range(1, plan.group.order)
             if order not in orders]
    waited = dict.fromkeys(wait.migration for _, _, wait in _waits(plan))
    found += [f"{name}, which a stage waits for, is not registered in this store yet"
              for name in waited if name not in names]
    return found + other_users(plan, members)


def other_users(plan: Plan, members: Sequence[Plan]) -> list[str]:
    """Return which members move other users at the same percentage."""
    own = plan.routing.sources, plan.routing.salt
    return [f"{other.migration} has another routing.key or salt: at the same percentage other "
            "users are moved there" for other in members
            if (other.routing.sources, other.routing.salt) != own]


def notes(plan: Plan) -> list[str]:
    """Return what a person should know of a plan that belongs to a group."""
    if plan.group is None:
        return []
    return [f"group {plan.group.name}: members find each other in the store; start each with the "
            "same `changeover up --store URL` and a home of its own"]


def circle_of(plans: Mapping[str, Plan], start: str) -> list[Node]:
    """Return stages that wait for one another in a circle; empty when none of `start` does.

    Args:
        plans: The members of a group by their migrations' names.
        start: The migration whose stages are looked at.
    """
    done: set[Node] = set()
    for stage in plans[start].stages():
        if circle := _walk((start, stage.key), plans, [], done):
            return circle
    return []


def _walk(
    node: Node, plans: Mapping[str, Plan], path: list[Node], done: set[Node]
) -> list[Node]:
    """Return the circle that is met from a stage on, each stage before what it waits for."""
    # came back to a stage of this way: a circle
    if node in path:
        return path[path.index(node):]
    if node in done:
        return []
    for needed in _needs(node, plans):
        if circle := _walk(needed, plans, [*path, node], done):
            return circle
    done.add(node)
    return []


def _needs(node: Node, plans: Mapping[str, Plan]) -> Iterator[Node]:
    """Yield what must be reached before a stage is entered."""
    name, key = node
    plan = plans[name]
    keys = [stage.key for stage in plan.stages()]
    if key == FINISHED:
        yield name, keys[-1]
        return
    stage = plan.stage(key)
    # within a plan the stage before, and across plans those that it names or that go first
    if stage.index:
        yield name, keys[stage.index - 1]
    for wait in stage.waits_for:
        if wait.migration in plans:
            yield wait.migration, wait.stage
    order = plan.group.order if plan.group else 0
    for other in plans.values():
        if other.group is not None and other.group.order < order:
            # a plan that never comes so far must be finished
            far = (each.key for each in other.stages()
                   if reach_of_stage(each) >= reach_of_stage(stage))
            yield other.migration, next(far, FINISHED)


def _unknown(
    path: Location, wait: WaitSpec, known: Mapping[str, Plan], members: Mapping[str, Plan], *,
    are_all: bool,
) -> Found | None:
    """Return why a stage cannot be waited for; None when it can, or may be known later."""
    listed = ", ".join(members) or "none"
    if wait.migration in known and wait.migration not in members:
        return (*path, "migration"), (f"{wait.migration} is not of this group; allowed are its "
                                      f"members: {listed}")
    if wait.migration not in members:
        text = f"no plan of this group is of migration {wait.migration}; allowed are {listed}"
        return ((*path, "migration"), text) if are_all else None
    keys = [stage.key for stage in members[wait.migration].stages()]
    if wait.stage in (FINISHED, *keys):
        return None
    return (*path, "stage"), (f"{wait.migration} has no stage {wait.stage}; allowed are "
                              f"{', '.join(keys)}, or none for its end")


def _closed(plan: Plan, circle: list[Node]) -> Found:
    """Return the problem of a circle, at the place in this plan that is a part of it."""
    steps = " waits for ".join(f"{name} {key or 'finished'}" for name, key in [*circle, circle[0]])
    text = f"the stages wait for one another in a circle: {steps}; allowed is any order without one"
    own = {key for name, key in circle if name == plan.migration}
    for path, keys, wait in _waits(plan):
        if own & {*keys} and (wait.migration, wait.stage) in circle:
            return path, text
    return (*GROUP, "order"), text


def _waits(plan: Plan) -> Iterator[tuple[Location, tuple[str, ...], WaitSpec]]:
    """Yield (where, keys of the stages that wait, what for) as the plan says it."""
    for number, phase in enumerate(plan.phases):
        path: Location = ("phases", number)
        keys = [stage.key for stage in plan.stages_in(number)]
        own = [stage.waits_for for stage in phase.stages]
        inherits = [key for place, key in enumerate(keys) if not (own and own[place])]
        for index, wait in enumerate(phase.waits_for or ()):
            yield (*path, "waits_for", index), tuple(inherits), wait
        for place, waits in enumerate(own):
            for index, wait in enumerate(waits or ()):
                where = (*path, "stages", place, "waits_for", index)
                yield where, (keys[place],), wait
