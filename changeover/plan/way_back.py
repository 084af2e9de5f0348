"""Whether users can return as a plan says: in steps, and to a baseline that bears them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.document import Location
from changeover.plan.model import Plan

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Return the place of everything about the way back that does not fit the rest of the plan."""
    yield from _returns(plan)


def _returns(plan: Plan) -> Iterator[Found]:
    """Find triggers that are not urgent in a plan that does not say how users return."""
    if plan.rollback.return_ is not None:
        return
    for index, trigger in enumerate(plan.triggers):
        if not trigger.urgent:
            yield ("triggers", index, "urgent"), (
                "`urgent: false` needs `rollback.return`, the time in which users return, such as "
                "`return: {over: 5m}`; add it, or remove `urgent`")
