"""A whole group on one screen: how each member stands, from the store that they share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.domain.approvers import rules_of
from changeover.domain.rollbacks import Stands
from changeover.domain.rollout import Cutover, StageRecord, StageStatus
from changeover.errors import InvalidInput
from changeover.plan.model import Plan
from changeover.plan.units import format_duration
from changeover.site import group_status, trigger_status
from changeover.site import status as status_of
from changeover.site.site import Site
from changeover.store import approvals, cutovers, freezes, heartbeats, members
from changeover.store.engine import Store

NOTHING_TO_SAY = (Stands.ARMED, Stands.CLEARED)


def collect(site: Site, *, now: datetime) -> dict[str, Any]:
    """Return how the members of a migration's group stand.

    Keys: `group`, `members` in their order, each with `migration`, `order`, `text` (where it is, in
    words), `percent`, `cutover` (its status, or null), `stage`, `soak_left_seconds`, `waits` (for
    which other member, or null), `asks` (the stage that people are asked about and who may answer,
    or null), `pause`, `freeze`, `checks` (how many of its gates would pass, and of how many),
    `triggers` (those that are holding or firing), `systems` (numbers of the last 10 s), `observer`
    (seconds since its last sign of life, or null).

    Raises:
        InvalidInput: The migration belongs to no group.
    """
    plan = site.plan
    if plan.group is None:
        raise InvalidInput(
            f"{plan.migration} belongs to no group", where="--group",
            next_step="`group` in the plan says so; see docs/procedures.md")
    known = members.of_group(site.store, plan.group.name)
    rows = {each["migration"]: each for each in _group(site.store, plan, now)["members"]}
    plans = {each.migration: each for each in members.plans_of(site.store, plan.group.name)}
    shown = []
    for each in known:
        row = rows[each.migration]
        shown.append(_member(site.store, plans[each.migration], row, now))
    return {"group": plan.group.name, "members": shown}


def _group(store: Store, plan: Plan, now: datetime) -> dict[str, Any]:
    cutover = cutovers.latest(store, plan.migration)
    found = group_status.collect(store, plan, cutover, now=now)
    return found or {"members": [], "waits": None}


def _member(store: Store, plan: Plan, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    name = plan.migration
    cutover = cutovers.latest(store, name)
    stages = cutovers.stages(store, cutover.id) if cutover else []
    freeze = freezes.active(store, name, now=now)
    beats = {beat.service: beat.at for beat in heartbeats.of(store, name)}
    seen = beats.get("observer")
    return {
        "migration": name, "order": row["order"], "text": row["text"],
        "percent": row["percent"],
        "cutover": str(cutover.status) if cutover else None,
        "stage": stages[-1].key if stages else None,
        "soak_left_seconds": _soak_left(stages, now),
        "waits": _group(store, plan, now)["waits"],
        "asks": _asks(store, plan),
        "pause": status_of.pause_of(store, cutover) if cutover else None,
        "freeze": freeze.text if freeze else None,
        "checks": _checks(store, cutover, now),
        "triggers": _triggers(store, plan, now),
        **status_of.measured(store, name, now),
        "observer": round((now - seen).total_seconds(), 1) if seen else None,
    }


def _soak_left(stages: list[StageRecord], now: datetime) -> float | None:
    """Return how long the present stage soaks still, in seconds; None when none soaks."""
    if not stages or stages[-1].status is not StageStatus.SOAKING:
        return None
    return max(0.0, round((stages[-1].soak_until - now).total_seconds(), 1))


def _asks(store: Store, plan: Plan) -> dict[str, Any] | None:
    asked = approvals.open_for(store, plan.migration)
    if asked is None:
        return None
    may = rules_of(plan, asked.stage).text
    return {"stage": asked.stage, "since": asked.asked_at.isoformat(), "may": may,
            "agreed": approvals.agreed(store, asked, plan)}


def _checks(store: Store, cutover: Cutover | None, now: datetime) -> dict[str, int] | None:
    """Return how many checks of the present stage would pass now, and how many there are."""
    gates = status_of.gates(store, cutover, now=now) if cutover else []
    if not gates:
        return None
    checks = [check for gate in gates for check in gate["checks"]]
    good = sum(check["verdict"] == "pass" for check in checks)
    return {"would_pass": good, "of": len(checks)}


def _triggers(store: Store, plan: Plan, now: datetime) -> list[dict[str, Any]]:
    found = []
    for each in trigger_status.triggers(store, plan, now=now):
        if each["stands"] not in NOTHING_TO_SAY:
            found.append({"trigger": each["trigger"], "stands": each["stands"],
                          "text": trigger_status.as_text(each)})
    return found


def as_text(group: dict[str, Any]) -> str:
    """Return the group for people: a paragraph for each member."""
    lines = [f"group {group['group']}, {len(group['members'])} members"]
    for each in group["members"]:
        lines += ["", *_lines(each)]
    return "\n".join(lines)


def _lines(member: dict[str, Any]) -> list[str]:
    lines = [f"{member['order']} {member['migration']}: {member['text']}"]
    if member["freeze"]:
        lines.append(f"  NOBODY IS MOVED: {member['freeze']}")
    if pause := member["pause"]:
        lines.append(f"  PAUSED by {pause['actor']} since {pause['at'][:19]}: {pause['reason']}")
    if member["soak_left_seconds"] is not None:
        lines.append(f"  {_soak_text(member)}")
    if member["waits"]:
        lines.append(f"  WAITS FOR ITS GROUP: {member['waits']}")
    if asks := member["asks"]:
        who = f"; who may answer: {asks['may']}" if asks["may"] else ""
        lines.append(f"  waits for approval of {asks['stage']} since {asks['since'][:19]}{who}")
    lines += [f"  {each['text']}" for each in member["triggers"]]
    for name, numbers in member["systems"].items():
        lines.append(f"  {name}: {status_of.numbers_text(numbers)}")
    seen = member["observer"]
    # nobody watches its triggers: that must be seen among several members
    if seen is None or seen > status_of.OLD_AFTER.total_seconds():
        silent = "never gave a sign of life" if seen is None else f"is silent for {seen:.0f} s"
        lines.append(f"  ITS OBSERVER {silent}")
    return lines


def _soak_text(member: dict[str, Any]) -> str:
    left = timedelta(seconds=round(member["soak_left_seconds"]))
    text = f"{member['stage']} soaks for another {format_duration(left)}"
    if not left:
        text = f"the soak of {member['stage']} is over"
    if checks := member["checks"]:
        text += f"; {checks['would_pass']} of {checks['of']} checks would pass"
    return text
