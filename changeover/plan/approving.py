"""Approvals that nobody could give: too few names, names that are one person. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.location import Location
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.people import ApprovalSpec, ApproversSpec, person

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Yield where approvals are impossible, and why."""
    everywhere = plan.approvers or ApproversSpec()
    if plan.approvers is not None:
        yield from _twice(("approvers", "names"), plan.approvers.names)
        if plan.approvers.four_eyes and len(plan.approvers.names or "two") < 2:
            yield ("approvers", "names"), (
                "four_eyes needs two names or more: nobody could approve what this one started")
    for path, spec in approvals(plan):
        twice = list(_twice((*path, "names"), spec.names))
        yield from twice or _too_few(path, spec, everywhere)


def approvals(plan: Plan) -> Iterator[tuple[Location, ApprovalSpec]]:
    """Yield every `approval` of a plan with its place."""
    for index, phase in enumerate(plan.phases):
        if phase.approval is not None:
            yield ("phases", index, "approval"), phase.approval
        for number, stage in enumerate(phase.stages):
            if stage.approval is not None:
                yield ("phases", index, "stages", number, "approval"), stage.approval
    disable = plan.cutover.disable_baseline
    if disable is not None:
        yield ("cutover", "disable_baseline", "approval"), disable.approval


def warnings(plan: Plan) -> list[str]:
    """Return what a person should know about approvals that are possible."""
    found = []
    if plan.approvers is not None and not any(True for _ in _asking(plan)):
        found.append("approvers has no effect on stages: no stage asks people")
    return found


def _asking(plan: Plan) -> Iterator[str]:
    for phase in plan.phases:
        if phase.phase is not PhaseKind.DEPRECATION and phase.approval is not None:
            yield str(phase.phase)
        for stage in phase.stages:
            if stage.approval is not None:
                yield str(stage.percent)


def _twice(path: Location, names: list[str] | None) -> Iterator[Found]:
    seen: dict[str, str] = {}
    for number, name in enumerate(names or []):
        first = seen.setdefault(person(name), name)
        if first is not name:
            same = f"{name!r} and {first!r} are one person"
            yield (*path, number), f"{same}; list each person once"


def _too_few(path: Location, spec: ApprovalSpec, everywhere: ApproversSpec) -> Iterator[Found]:
    names = everywhere.names if spec.names is None else spec.names
    four_eyes = everywhere.four_eyes if spec.four_eyes is None else spec.four_eyes
    # anybody may
    if names is None:
        return
    people = {person(name) for name in names}
    if len(people) < spec.approvers:
        listed = ", ".join(names)
        needed = f"{spec.approvers} different people must agree"
        yield (*path, "approvers"), (
            f"{needed}, and {len(people)} may: {listed}; "
            "list more names, or need fewer approvers")
        return
    # where both are the plan's own it is said there
    is_own = spec.names is not None or spec.four_eyes is not None
    if four_eyes and is_own and len(people) < 2:
        yield path, (
            "four_eyes needs two names or more: "
            f"nobody could approve what {names[0]} started")
