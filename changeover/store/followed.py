"""In which epoch of its leaders a member's users were moved.

A leader's rollback gives it a new epoch. So a member whose users were moved in an earlier one must
go back, whoever is killed, and however late its observer looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Integer, String, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.routing import ON_USERS, Lead, Mode, RoutingState
from changeover.errors import AheadOfLeader
from changeover.store.base import Base


class FollowedRow(Base):
    """A member's epoch, and its leader's, when users were moved to the member's candidate."""

    __tablename__ = "followed"
    migration: Mapped[str] = mapped_column(String(63), primary_key=True)
    leader: Mapped[str] = mapped_column(String(63), primary_key=True, index=True)
    epoch: Mapped[int] = mapped_column(Integer)
    leader_epoch: Mapped[int] = mapped_column(Integer)


def note_in(
    session: Session, present: RoutingState, wished: RoutingState, leads: Sequence[Lead]
) -> None:
    """Note the leaders' epochs within the transaction that moves a member's users.

    Args:
        session: The transaction.
        present: The member's state before.
        wished: Its state afterwards.
        leads: Its leaders in the epochs of this moment.

    Raises:
        AheadOfLeader: A leader was rolled back since the users were moved who are moved already:
            they go back first.
    """
    if wished.mode not in ON_USERS:
        return
    for lead in leads:
        row = session.get(FollowedRow, (wished.migration, lead.migration))
        is_same = row is not None and row.epoch == wished.epoch and present.mode in ON_USERS
        if row is not None and is_same and row.leader_epoch != lead.epoch:
            raise AheadOfLeader(
                f"not moved because {lead.migration}, which goes first, was rolled back since",
                next_step=f"{wished.migration} follows it back to the baseline by itself")
        session.merge(FollowedRow(
            migration=wished.migration, leader=lead.migration, epoch=wished.epoch,
            leader_epoch=lead.epoch))


def keep_in(session: Session, present: RoutingState, wished: RoutingState) -> None:
    """Carry what was noted into the epoch of a return in steps, within its first step.

    Its users are the same ones, and some of them stay for a while: should a leader be rolled back
    meanwhile, or have been, they must all follow at once.
    """
    is_first = wished.mode is Mode.RETURNING and wished.epoch != present.epoch
    if not is_first:
        return
    noted = FollowedRow
    session.execute(
        update(noted)
        .where(noted.migration == present.migration, noted.epoch == present.epoch)
        .values(epoch=wished.epoch))
