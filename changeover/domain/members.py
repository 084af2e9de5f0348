"""Members of a group of migrations: who may be moved how far, and who goes back with whom. Pure.

The rule: a member's users are moved only as far as every member of lower order (its leaders) is,
and a member goes back with each of its leaders. Members of the same order go side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from changeover.domain.routing import ON_USERS, Lead, RoutingState
from changeover.errors import AheadOfLeader
from changeover.plan.members import FINISHED, GroupSpec, Reach, WaitSpec, reach_of_stage
from changeover.plan.model import Stage


@dataclass(frozen=True, slots=True)
class Member:
    """How one member of a group stands.

    Args:
        migration: Name of the migration.
        order: Its order; 1 goes first.
        state: Its routing state.
        stage: Key of the newest stage of its cutover in this epoch; empty before the first.
        stands: How that stage, or the cutover, stands, in one word.
        reached: Keys of the stages that its cutover has reached in this epoch.
        is_finished: Whether its whole cutover was promoted, and not rolled back since.
    """

    migration: str
    order: int
    state: RoutingState
    stage: str = ""
    stands: str = ""
    reached: frozenset[str] = field(default_factory=frozenset)
    is_finished: bool = False

    @property
    def has_users(self) -> bool:
        """Whether users get answers of its candidate."""
        return self.state.mode in ON_USERS

    @property
    def where(self) -> str:
        """Where it is, without version and epoch: `gradual 25 %`."""
        return self.state.describe().partition(" (")[0].replace("_", " ")


@dataclass(frozen=True, slots=True)
class Step:
    """Where a member wants to go.

    Args:
        migration: Name of the migration.
        group: Its group and order.
        reach: How far it would be.
        waits_for: Stages of others that must be reached before.
    """

    migration: str
    group: GroupSpec
    reach: Reach
    waits_for: tuple[WaitSpec, ...] = ()

    @classmethod
    def into(cls, stage: Stage, migration: str, group: GroupSpec) -> Step:
        """Return the step into a stage, which may wait for stages of others."""
        return cls(migration, group, reach_of_stage(stage), stage.waits_for)


def leaders(step: Step, members: Iterable[Member]) -> list[Member]:
    """Return the members of lower order, the first one first."""
    found = [each for each in members if each.order < step.group.order]
    return sorted(found, key=lambda each: (each.order, each.migration))


def why_not(step: Step, members: Sequence[Member]) -> str:
    """Return what a member must wait for before it goes further; empty when it may go now."""
    known = {each.migration: each for each in members}
    there = {each.order for each in members}
    found = [
        f"nobody of order {order} of group {step.group.name} is registered in this store; "
        "`changeover up` with its plan does that"
        for order in range(1, step.group.order) if order not in there]
    for leader in leaders(step, members):
        if not _is_as_far(leader, step.reach):
            needed = "copies" if step.reach == Reach(1) else step.reach.text
            whose = f"{leader.migration} (order {leader.order})"
            found.append(
                f"{whose} is at {leader.where}, "
                f"and {needed} must be reached there first")
    for wait in step.waits_for:
        other = known.get(wait.migration)
        if other is None:
            found.append(
                f"{wait.text} must be reached first, "
                f"and {wait.migration} is not registered in this store; "
                "`changeover up` with its plan does that")
        elif not has_reached(other, wait):
            found.append(f"{wait.text} must be reached first, and it is at {other.where}")
    return "; ".join(found)


def has_reached(member: Member, wait: WaitSpec) -> bool:
    """Whether a member has reached what is waited for."""
    return member.is_finished or (wait.stage != FINISHED and wait.stage in member.reached)


def leads(step: Step, members: Sequence[Member]) -> tuple[Lead, ...]:
    """Return what must still be true of the leaders when the step is written."""
    # one that has finished is far enough for everybody
    return tuple(
        Lead(each.migration, each.state.epoch, Reach() if each.is_finished else step.reach)
        for each in leaders(step, members))


def refuse_ahead(wanted: Sequence[Lead], present: Sequence[RoutingState]) -> None:
    """Check what `leads` said against the leaders' states as they are at this moment.

    Args:
        wanted: What must be true of each leader.
        present: Their states, in the same order.

    Raises:
        AheadOfLeader: A leader was rolled back, or is not so far any more.
    """
    for lead, state in zip(wanted, present, strict=True):
        if state.epoch != lead.epoch or state.reach < lead.reach:
            raise AheadOfLeader(
                f"not moved because {lead.migration}, which goes first, is at {state.describe()}",
                next_step="It goes on when its leader is as far; see `changeover status`")


def _is_as_far(leader: Member, reach: Reach) -> bool:
    return leader.is_finished or leader.state.reach >= reach


def reached_keys(stages: Sequence[Stage], entered: Iterable[str]) -> frozenset[str]:
    """Return the keys of the stages that a cutover has reached: all up to the last it entered.

    Args:
        stages: The plan's stages in order.
        entered: Keys of stages whose users were moved; those that were skipped are none.
    """
    places = {stage.key: stage.index for stage in stages}
    furthest = max((places[key] for key in entered if key in places), default=-1)
    return frozenset(stage.key for stage in stages if stage.index <= furthest)
