"""Whether users can return as a plan says: in steps, and to a baseline that bears them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.hook_rules import hooks_of
from changeover.plan.location import Location
from changeover.plan.model import PhaseKind, Plan

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Return the place of everything about the way back that does not fit the rest of the plan."""
    yield from _returns(plan)
    yield from _shrinking_when_needed(plan)


def warnings(plan: Plan) -> list[str]:
    """Return which levers always ask people, because nobody can tell what they leave."""
    names = list(plan.cutover.final.levers) if plan.cutover.final else []
    for _, hooks in hooks_of(plan):
        names += [hook.lever for hook in (*hooks.before, *hooks.after) if hook.lever]
    found = []
    for name in dict.fromkeys(names):
        lever = plan.levers.get(name)
        if lever is not None and lever.shrinks and lever.leaves is None:
            found.append(f"lever {name} does not say what it leaves of the baseline (`leaves`): "
                         "people are asked before it is pulled")
    return found


def _returns(plan: Plan) -> Iterator[Found]:
    """Find triggers that are not urgent in a plan that does not say how users return."""
    if plan.rollback.return_ is not None:
        return
    for index, trigger in enumerate(plan.triggers):
        if not trigger.urgent:
            yield ("triggers", index, "urgent"), (
                "`urgent: false` needs `rollback.return`, the time in which users return, such as "
                "`return: {over: 5m}`; add it, or remove `urgent`")


def _shrinking_when_needed(plan: Plan) -> Iterator[Found]:
    """Find levers that make the baseline smaller when it is about to have everyone."""
    shrinks = {name for name, lever in plan.levers.items() if lever.shrinks is not None}
    why = "makes the baseline smaller (`shrinks: baseline`), "
    for index, name in enumerate(plan.rollback.restore):
        if name in shrinks:
            yield ("rollback", "restore", index), (
                f"lever {name!r} {why}which has everyone after a rollback; name another lever")
    disabling = plan.cutover.disable_baseline
    for index, name in enumerate(disabling.undo if disabling else ()):
        if name in shrinks:
            yield ("cutover", "disable_baseline", "undo", index), (
                f"lever {name!r} {why}and is to bring it back; name another lever")
    yield from _shrinking_hooks(plan, shrinks, why)


def _shrinking_hooks(plan: Plan, shrinks: set[str], why: str) -> Iterator[Found]:
    is_first = True
    for path, hooks in hooks_of(plan):
        is_whole_phase = len(path) == len(("phases", 0, "hooks"))
        if is_whole_phase and plan.phases[int(path[1])].phase is PhaseKind.GRADUAL:
            continue  # its stages have hooks of their own
        for when in ("before", "after"):
            for number, hook in enumerate(getattr(hooks, when)):
                place = (*path, when, number)
                if hook.undone_by in shrinks:
                    yield (*place, "undo"), (
                        f"lever {hook.undone_by!r} {why}which has everyone after a rollback; "
                        "name another lever")
                if is_first and when == "before" and hook.lever in shrinks:
                    yield (*place, "lever"), (
                        f"lever {hook.lever!r} {why}while it still has everyone; pull it in a "
                        "later stage")
        is_first = False
