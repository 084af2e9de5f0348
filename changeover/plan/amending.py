"""What may be changed in the plan of a running cutover, and what differs, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from changeover.plan.hook_rules import has_load
from changeover.plan.model import Plan
from changeover.plan.units import without_secrets
from changeover.plan.user_lists import changed_files

AMENDABLE = frozenset({
    "gates", "phases", "triggers", "guardrails", "comparison", "shadow", "notify", "patience",
    "allowed", "approvers", "sources", "suites", "health", "retention", "webhooks",
})
"""Parts that no user who was moved notices."""
DIGEST_SHOWN = 12
"""Characters of a plan's digest that tell it from the others of its migration."""
_FIXED = ("percent", "segments", "soak", "hooks")
_NAMES = ("name", "phase", "percent", "metric", "lever", "suite", "load")
_NOTHING = object()


def refusals(old: Plan, new: Plan, entered: Sequence[str]) -> list[str]:
    """Return why a running cutover cannot go on with another plan; empty when it can.

    Args:
        old: The plan that it runs on.
        new: The plan that it is to go on with.
        entered: Keys of the stages that were entered, in order; the last one is the present one.
    """
    before, after = _content(old), _content(new)
    found = []
    for name in sorted({*before, *after} - AMENDABLE):
        if before.get(name) != after.get(name):
            why = "users who were moved would notice, " \
                "or what was prepared would no longer fit"
            if name == "routing" and (files := changed_files(before, after)):
                why += f"; the users in {', '.join(files)} are others than those that it began with"
            found.append(
                f"{name} cannot be changed while a cutover runs: {why}")
    had, has = before.get("shadow"), after.get("shadow")
    if (had is None) != (has is None):
        found.append(
            "shadow cannot be added or removed while a cutover runs: "
            "its service is started by `changeover up`")
    return found + _stage_refusals(old, new, entered)


def _stage_refusals(old: Plan, new: Plan, entered: Sequence[str]) -> list[str]:
    """Return what differs about stages whose users were moved, or in their order."""
    known = {stage.key: stage for stage in old.stages()}
    stages = {stage.key: stage for stage in new.stages()}
    found = []
    for key in entered:
        if key not in stages:
            found.append(f"stage {key} cannot be removed: it was entered")
            continue
        for name in _FIXED:
            if getattr(known[key], name) != getattr(stages[key], name):
                why = "it was entered"
                if name == "soak":
                    why += "; `changeover extend` lets it soak longer"
                found.append(f"{name} of stage {key} cannot be changed: {why}")
    return found + _order_refusals(old, new, entered)


def _order_refusals(old: Plan, new: Plan, entered: Sequence[str]) -> list[str]:
    """Return which stages would appear or vanish before the present one."""
    known = {stage.key: stage for stage in old.stages()}
    stages = {stage.key: stage for stage in new.stages()}
    found = []
    places = [stages[key].index for key in entered if key in stages]
    last = max(places, default=-1)
    for key, stage in stages.items():
        if stage.index < last and key not in known:
            where = f"before stage {entered[-1]}"
            found.append(
                f"stage {key} cannot be added {where}: nobody would enter it")
    # Prefect counts the calls of a phase's flow: those that were made must be made again
    for key in known:
        if key in stages or key in entered:
            continue
        if known[key].index < last:
            why = f"it stands before stage {entered[-1]}"
            found.append(f"stage {key} cannot be removed: {why}")
    return found


def hook_refusals(old: Plan, new: Plan, begun: Sequence[str]) -> list[str]:
    """Return which hooks of another plan a running cutover cannot go on with.

    Args:
        old: The plan that it runs on.
        new: The plan that it is to go on with.
        begun: Keys of the stages that were not entered, but whose hooks have begun.
    """
    stages = {stage.key: stage for stage in new.stages()}
    found = []
    for key in begun:
        if key not in stages or old.stage(key).hooks != stages[key].hooks:
            way = "mend the suite or the system, " \
                "or go on without them when you are asked"
            found.append(
                f"hooks of stage {key} cannot be changed: they have begun; {way}")
    if has_load(new) and not has_load(old):
        found.append(
            "the first synthetic load (`during`) cannot be added "
            "while a cutover runs: its service is started by `changeover up`")
    return found


def changes(old: Plan, new: Plan) -> list[str]:
    """Return what differs, one line each: `gates.slo[0].below: 1% → 2%`."""
    return list(_differences("", _content(old), _content(new)))


def _content(plan: Plan) -> dict[str, Any]:
    content: dict[str, Any] = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    return content


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(each for each in new if each not in old)]:
            inner = f"{path}.{name}" if path else name
            was, now = old.get(name, _NOTHING), new.get(name, _NOTHING)
            yield from _differences(inner, was, now)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_differences(path, old, new)
    elif old is _NOTHING:
        yield f"{path}: new, {_shown(new)}"
    elif new is _NOTHING:
        yield f"{path}: removed, it was {_shown(old)}"
    else:
        yield f"{path}: {_shown(old)} → {_shown(new)}"


def _list_differences(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    """Compare lists of named parts by their names, others place by place."""
    mine, theirs = _by_name(old), _by_name(new)
    for name in [*mine, *(each for each in theirs if each not in mine)]:
        was, now = mine.get(name, _NOTHING), theirs.get(name, _NOTHING)
        yield from _differences(f"{path}[{name}]", was, now)


def _by_name(parts: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, part in enumerate(parts):
        name = str(number)
        if isinstance(part, dict):
            names = [part[key] for key in _NAMES if key in part]
            name = str(names[0]) if names else name
        # two parts of the same name are told apart by their places
        found[name if name not in found else f"{name} {number}"] = part
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        told = []
        for name, inner in value.items():
            # what is empty or not set says nothing to a person
            if inner in ([], {}, None):
                continue
            if text := _shown(inner):
                told.append(f"{name} {text}")
        return ", ".join(told)
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value) or "none"
    return without_secrets(str(value))
