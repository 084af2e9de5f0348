"""The members of a group as the store knows them: their order, where they are, who must go back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from changeover.domain.members import Member, Step, reached_keys, why_not
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import ON_USERS
from changeover.plan.model import Plan, Stage
from changeover.store import cutovers, rollbacks, routing
from changeover.store.engine import Store
from changeover.store.followed import FollowedRow
from changeover.store.plans import MigrationRow
from changeover.store.rollbacks import RollbackRow
from changeover.store.routing import RoutingRow

_WITH_USERS = [str(mode) for mode in ON_USERS]


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A member that still has users although a leader was rolled back.

    Args:
        migration: The member.
        leader: The leader.
        reason: Why the leader was rolled back; empty when that is not recorded yet.
        since: When; None when that is not recorded yet.
    """

    migration: str
    leader: str
    reason: str = ""
    since: datetime | None = None


def plans_of(store: Store, group: str) -> list[Plan]:
    """Return the plans of a group's members, in their order."""
    rows = [row for row in _rows(store) if row.get("group", {}).get("name") == group]
    return sorted(map(Plan.model_validate, rows), key=_place)


def every_plan(store: Store) -> list[Plan]:
    """Return the plans of all registered migrations."""
    return [Plan.model_validate(row) for row in _rows(store)]


def _rows(store: Store) -> list[dict[str, Any]]:
    with store.read() as session:
        return list(session.scalars(select(MigrationRow.plan)))


def why_wait(store: Store, plan: Plan, stage: Stage | None) -> str:
    """Return which members must come further before a stage begins; empty when it may begin.

    Args:
        store: The store that the members share.
        plan: The migration's plan.
        stage: The stage; None for what follows the last one, which waits for nobody.
    """
    if plan.group is None or stage is None:
        return ""
    step = Step.into(stage, plan.migration, plan.group)
    return why_not(step, of_group(store, plan.group.name))


def of_group(store: Store, group: str) -> list[Member]:
    """Return how each member of a group stands, in their order."""
    return [_member(store, plan) for plan in plans_of(store, group)]


def overtaken(store: Store, migration: str) -> list[Overtaken]:
    """Return the leaders whose rollback a member must follow; empty when none, or it did."""
    return _overtaken(store, FollowedRow.migration == migration)


def left_behind(store: Store, leader: str) -> list[Overtaken]:
    """Return the members that have not yet followed a leader's rollback."""
    return _overtaken(store, FollowedRow.leader == leader)


def with_users(store: Store, leader: str) -> list[str]:
    """Return the members of higher order whose users were moved after a leader's."""
    noted, member = FollowedRow, aliased(RoutingRow)
    query = select(noted.migration)
    query = query.join(member, member.migration == noted.migration)
    # one that was rolled back since has a new epoch, and nobody of a leader's
    query = query.where(
        noted.leader == leader, member.epoch == noted.epoch,
        member.mode.in_(_WITH_USERS))
    query = query.order_by(noted.migration)
    with store.read() as session:
        return list(session.scalars(query))


def _overtaken(store: Store, condition: ColumnElement[bool]) -> list[Overtaken]:
    """Return (member, leader) whose users were moved in an earlier epoch of the leader."""
    noted = FollowedRow
    member, leader = aliased(RoutingRow), aliased(RoutingRow)
    query = select(noted.migration, noted.leader, leader.epoch)
    query = query.join(member, member.migration == noted.migration)
    query = query.join(leader, leader.migration == noted.leader)
    # a member that went back has a new epoch: what it noted before says nothing any more
    query = query.where(
        condition, member.epoch == noted.epoch,
        member.mode.in_(_WITH_USERS),
        leader.epoch > noted.leader_epoch)
    query = query.order_by(noted.migration, noted.leader)
    with store.read() as session:
        rows = session.execute(query)
        return [_with_reason(session, *row) for row in rows]


def _with_reason(session: Session, migration: str, leader: str, epoch: int) -> Overtaken:
    query = select(RollbackRow).filter_by(migration=leader, epoch=epoch)
    row = session.scalar(query)
    # the epoch is written first: the rollback itself may not be recorded yet
    if row is None:
        return Overtaken(migration, leader)
    return Overtaken(migration, leader, row.reason, row.started_at)


def _place(plan: Plan) -> tuple[int, str]:
    return (plan.group.order if plan.group else 0, plan.migration)


def _member(store: Store, plan: Plan) -> Member:
    state = routing.read(store, plan.migration)
    order = plan.group.order if plan.group else 0
    cutover = cutovers.latest(store, plan.migration)
    # a rollback has come since: what the cutover had reached is not so any more
    if cutover is None or cutover.epoch != state.epoch:
        stands = ""
        if rollbacks.of_epoch(store, plan.migration, state.epoch):
            stands = "rolled back"
        return Member(plan.migration, order, state, stands=stands)
    records = cutovers.stages(store, cutover.id)
    entered = []
    for each in records:
        if each.status is not StageStatus.SKIPPED:
            entered.append(each.key)
    reached = reached_keys(plan.stages(), entered)
    # a phase that was carried out alone ends as promoted, too
    is_whole = len(reached) == len(plan.stages()) and state.mode in ON_USERS
    is_finished = cutover.status is CutoverStatus.PROMOTED and is_whole
    stage, stands = _stands(cutover, records)
    return Member(plan.migration, order, state, stage, stands, reached, is_finished)


def _stands(cutover: Cutover, records: list[StageRecord]) -> tuple[str, str]:
    """Return the newest stage and how it stands; how the cutover ended, when it did."""
    stage = records[-1].key if records else ""
    if cutover.status is not CutoverStatus.RUNNING:
        return stage, str(cutover.status).replace("_", " ")
    return stage, str(records[-1].status) if records else "preparing"
