"""Hooks that do not fit the rest of the plan, and those that deserve a warning. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.flags import kind_of
from changeover.plan.hooks import NO_UNDO, HookSpec, HooksSpec, LoadSpec, asked_of
from changeover.plan.location import Location
from changeover.plan.model import Plan

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Return the place of every hook that names something that the plan does not have."""
    for path, hooks in hooks_of(plan):
        for when in ("before", "after"):
            for number, hook in enumerate(getattr(hooks, when)):
                yield from _of_hook(plan, hook, (*path, when, number))
        for number, load in enumerate(hooks.during):
            yield from _of_load(plan, load, (*path, "during", number))
    if NO_UNDO in plan.levers:
        yield ("levers", NO_UNDO), (
            f"no lever may be called {NO_UNDO!r}: hooks say by it that nothing undoes them; give "
            "the lever another name")


def warnings(plan: Plan) -> list[str]:
    """Return what a person should know about hooks that are possible."""
    found = []
    limit = plan.systems.candidate.concurrency
    for stage in plan.stages():
        for hook in (*stage.hooks.before, *stage.hooks.after):
            if hook.lever and not hook.undone_by:
                found.append(f"stage {stage.title}: a rollback does not undo {hook.title}")
        for load in stage.hooks.during:
            if load.of == "candidate" and limit is not None:
                takes = f"takes some of the {limit} requests at once"
                found.append(
                    f"stage {stage.title}: {load.text} goes past the gateway, "
                    f"and {takes} that the candidate serves; "
                    "`of: gateway` keeps the limit")
            if load.measured:
                found.append(
                    f"stage {stage.title}: {load.text} counts as users' "
                    "requests in metrics, gates and triggers")
    return found


def has_load(plan: Plan) -> bool:
    """Whether a stage of the plan has synthetic load."""
    return any(stage.hooks.during for stage in plan.stages())


def has_marked_load(plan: Plan) -> bool:
    """Whether synthetic load goes through the gateway that is kept out of metrics."""
    loads = [load for stage in plan.stages() for load in stage.hooks.during]
    return any(load.of == "gateway" and not load.measured for load in loads)


def hooks_of(plan: Plan) -> Iterator[tuple[Location, HooksSpec]]:
    """Yield the hooks of every stage with their place in the plan."""
    for index, phase in enumerate(plan.phases):
        yield ("phases", index, "hooks"), phase.hooks
        for number, stage in enumerate(phase.stages):
            yield ("phases", index, "stages", number, "hooks"), stage.hooks


def _of_hook(plan: Plan, hook: HookSpec, path: Location) -> Iterator[Found]:
    if hook.lever is not None:
        yield from _missing((*path, "lever"), "lever", hook.lever, plan.levers)
    if hook.undone_by:
        yield from _missing((*path, "undo"), "lever", hook.undone_by, plan.levers)
    if hook.suite is not None:
        yield from _missing((*path, "suite"), "suite", hook.suite, plan.suites)
    safe = plan.rollback.safe_flags
    for name, value in (hook.flags or {}).items():
        # else a rollback would leave on what the stage had switched on
        if name not in safe:
            yield (*path, "flags", name), (
                f"flag {name!r} has no value in rollback.safe_flags; give it the one that a "
                "rollback sets")
        elif kind_of(value) is not kind_of(safe[name]):
            yield (*path, "flags", name), (
                f"{value!r} is a {kind_of(value)}, in rollback.safe_flags flag {name!r} is a "
                f"{kind_of(safe[name])}")


def _of_load(plan: Plan, load: LoadSpec, path: Location) -> Iterator[Found]:
    yield from _missing((*path, "load"), "suite", load.load, plan.suites)
    checks = plan.suites.get(load.load)
    if checks is not None and not asked_of(checks):
        yield (*path, "load"), (
            f"suite {load.load!r} has no check of kind load or soak, "
            "whose requests the load sends; add one, or name another suite")


def _missing(path: Location, kind: str, name: str, known: dict[str, object] | object) \
        -> Iterator[Found]:
    defined = list(known) if isinstance(known, dict) else []
    if name not in defined:
        listed = ", ".join(defined) or f"none, the plan has no {kind}"
        yield path, f"{kind} {name!r} is not defined; defined are {listed}"
