"""The users that a plan's segments list in files: kept once for each migration, beside its plan.

Plans are read often and shown to people, so their documents have a digest only. What belongs to a
digest never changes: a process that has read a list once does not read it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.errors import StoreError
from changeover.plan.model import Plan
from changeover.plan.user_lists import Lists, UserList, digests_in
from changeover.store.base import Base, NameKey

MOST_REMEMBERED = 8
_remembered: dict[str, UserList] = {}


class UserListRow(Base):
    """A list of users: its values, sorted, one a line; `sha256` is of them."""

    __tablename__ = "user_list"
    migration: Mapped[NameKey]
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[str]


def of_plan(plan: Plan) -> dict[str, UserList]:
    """Return the lists of a plan by their digests.

    Raises:
        RuntimeError: The plan was read without them.
    """
    specs = plan.routing.segments.values()
    return {spec.listed.sha256: spec.users for spec in specs if spec.listed is not None}


def save_in(session: Session, migration: str, contents: Mapping[str, str]) -> None:
    """Keep the lists of a migration's plan, and no others of it.

    Args:
        session: An open write transaction.
        migration: The migration.
        contents: The lists' contents by their digests.
    """
    own = UserListRow.migration == migration
    known = set(session.scalars(select(UserListRow.sha256).where(own)))
    if gone := known - contents.keys():
        session.execute(delete(UserListRow).where(own, UserListRow.sha256.in_(gone)))
    for sha256, content in contents.items():
        if sha256 not in known:
            session.add(UserListRow(migration=migration, sha256=sha256, content=content))


def lists_in(session: Session, migration: str, plan: Mapping[str, Any]) -> Lists | None:
    """Return the lists that a plan's document names; None when one is not there.

    Raises:
        StoreError: A list is not what its digest says.
    """
    found = {}
    for sha256 in digests_in(plan.get("routing", {}).get("segments", {})):
        known = _remembered.get(sha256) or _read(session, migration, sha256)
        if known is None:
            return None
        found[sha256] = _remember(known)
    return found


def _read(session: Session, migration: str, sha256: str) -> UserList | None:
    query = select(UserListRow.content).where(
        UserListRow.migration == migration, UserListRow.sha256 == sha256)
    content = session.scalar(query)
    try:
        return None if content is None else UserList.restored(content.encode(), sha256)
    except ValueError as error:
        raise StoreError(str(error), where=f"table user_list, migration {migration}",
                         next_step="Restore the store from a backup") from None


def _remember(found: UserList) -> UserList:
    # the oldest ones first: a process has few plans
    while len(_remembered) >= MOST_REMEMBERED and found.sha256 not in _remembered:
        _remembered.pop(next(iter(_remembered)), None)
    return _remembered.setdefault(found.sha256, found)
