"""What a migration's group means for what may be done now: moving users, retiring, registering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from changeover.domain import members, routing
from changeover.domain.members import Member, Step
from changeover.domain.routing import Change, RoutingState
from changeover.errors import AheadOfLeader, Refused
from changeover.plan import together
from changeover.plan.load import refuse_beside
from changeover.plan.members import Reach
from changeover.plan.model import Plan
from changeover.site.site import Site
from changeover.store import members as stored
from changeover.store.engine import Store


def behind_leaders(site: Site, present: RoutingState, change: Change) -> Change:
    """Return a change with what must be true of the leaders when it is written.

    Args:
        site: The migration.
        present: Its routing state.
        change: The change; one that moves nobody further stays as it is.

    Raises:
        AheadOfLeader: A leader is not so far.
    """
    group = site.plan.group
    if group is None or not _moves(present, change):
        return change
    wished = routing.apply(present, change).reach
    step = Step(site.migration, group, wished)
    known = stored.of_group(site.store, group.name)
    if why := members.why_not(step, known):
        raise AheadOfLeader(f"{site.migration} was not moved to {_named(wished)} because {why}",
                            next_step="See `changeover status`")
    # checked once more where it is written: a leader may be rolled back until then
    return replace(change, leads=members.leads(step, known))


def _moves(present: RoutingState, change: Change) -> bool:
    """Whether a change gives the candidate traffic that its leaders must have before."""
    # what changes neither the mode nor the users needs no leader
    if (change.mode, change.weight, change.segments) == (None, None, None):
        return False
    wished = routing.apply(present, change).reach
    return Reach() < wished >= present.reach


def refuse_leaving(site: Site, present: RoutingState, change: Change, what: str) -> None:
    """Refuse to move fewer users by hand than those who came after have moved.

    Args:
        site: The migration.
        present: Its routing state.
        change: The change.
        what: What is not done.

    Raises:
        Refused: Members of higher order have users on their candidates.
    """
    if site.plan.group is None or routing.apply(present, change).reach >= present.reach:
        return
    if followers := stored.with_users(site.store, site.migration):
        listed = ", ".join(followers)
        raise Refused(
            f"{what} because users were moved to the candidates of {listed}, which follow "
            f"{site.migration}", next_step="Disable those first; or `changeover rollback` here, "
            "which they follow by themselves")


def refuse_unfinished(site: Site) -> None:
    """Refuse to retire a baseline while a member of the group may still need it.

    Raises:
        Refused: The cutover of a member is not promoted.
    """
    if why := unfinished(site):
        raise Refused(f"not retired because {why}")


def unfinished(site: Site) -> str:
    """Return which members of the group have not finished; empty when all have."""
    group = site.plan.group
    if group is None:
        return ""
    left = [each for each in stored.of_group(site.store, group.name) if not each.is_finished]
    if not left:
        return ""
    return f"not every member of group {group.name} has finished: {listed(left)}"


def listed(found: Sequence[Member]) -> str:
    """Return where members are, in one phrase."""
    return ", ".join(f"{each.migration} is at {each.where}" for each in found)


def refuse_beside_registered(
    store: Store, plan: Plan, source: Path, environment: str | None = None
) -> list[str]:
    """Check a plan against those that are registered; return what a person should know.

    Raises:
        InvalidPlan: It cannot work beside them; the error names the lines of its file.
    """
    if plan.group is None:
        return []
    others = stored.every_plan(store)
    refuse_beside(source, plan, together.problems(plan, others), environment)
    return together.missing(plan, others)


def _named(reach: Reach) -> str:
    return "shadow" if reach == Reach(1) else reach.text
