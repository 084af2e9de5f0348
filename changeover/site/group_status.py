"""How the members of a migration's group stand, and what the migration waits for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from changeover.domain.members import Member
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.plan.model import Plan
from changeover.store import cutovers, members, routing, upcoming
from changeover.store.engine import Store


def collect(
    store: Store, plan: Plan, cutover: Cutover | None, *, now: datetime
) -> dict[str, Any] | None:
    """Return the group of a migration; None when it belongs to none.

    Keys: `name`, `order`, `members` (in their order; each with `migration`, `order`, `where`,
    `percent`, `stage`, `stands`, `is_finished`, `must_follow`: the member whose rollback it has
    still to follow, or null, and all of it as `text`), `waits` (what the migration waits for now,
    or null), `will_wait` (what it would wait for if its soak were over, or null).
    """
    group = plan.group
    if group is None:
        return None
    found = members.of_group(store, group.name)
    waits = _waits(store, plan, cutover)
    is_now = _is_due(store, cutover, now)
    return {
        "name": group.name, "order": group.order,
        "members": [_member(store, each) for each in found],
        "waits": waits if is_now else None,
        "will_wait": None if is_now else waits,
    }


def _member(store: Store, member: Member) -> dict[str, Any]:
    overtaken = members.overtaken(store, member.migration)
    leader = overtaken[0].leader if overtaken else None
    return {
        "migration": member.migration, "order": member.order,
        "where": member.where,
        # a weight is a number of buckets of 0.01 %
        "percent": member.state.weight / 100,
        "stage": member.stage, "stands": member.stands,
        "is_finished": member.is_finished,
        "must_follow": leader, "text": _text(member, leader),
    }


def _text(member: Member, must_follow: str | None) -> str:
    """Return how a member stands in one phrase."""
    parts = [member.where]
    stage = " ".join(filter(None, (member.stage, member.stands)))
    if stage:
        parts.append(stage)
    if member.is_finished:
        parts.append("finished")
    # in capitals: it must go back, and has not
    if must_follow:
        parts.append(f"HAS NOT FOLLOWED THE ROLLBACK OF {must_follow}")
    return ", ".join(parts)


def _waits(store: Store, plan: Plan, cutover: Cutover | None) -> str | None:
    """Return what the next stage of a running cutover waits for; None when for nobody."""
    if cutover is None or cutover.status is not CutoverStatus.RUNNING:
        return None
    if routing.read(store, plan.migration).epoch != cutover.epoch:
        return None  # rolled back: it begins no stage any more
    stage = upcoming.next_stage(store, cutover.id, plan)
    text = members.why_wait(store, plan, stage)
    if stage is None or not text:
        return None
    return f"{stage.title} waits: {text}"


def _is_due(store: Store, cutover: Cutover | None, now: datetime) -> bool:
    """Whether the next stage would begin now if it need not wait for others."""
    known = cutovers.stages(store, cutover.id) if cutover else []
    if not known:
        return True
    newest = known[-1]
    return newest.decided_at is not None or newest.soak_until <= now


def lines(group: dict[str, Any] | None) -> list[str]:
    """Return the group for people."""
    if group is None:
        return []
    found = [f"group {group['name']}:"]
    for each in group["members"]:
        found.append(f"  {each['order']} {each['migration']}: {each['text']}")
    if group["waits"]:
        found.append(f"WAITS FOR ITS GROUP: {group['waits']}")
    if group["will_wait"]:
        found.append(f"  after this soak {group['will_wait']}")
    return found
