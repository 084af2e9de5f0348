"""Whose doing it was that users were on their way back when a trigger's turn came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.analysis.trigger import Firing
from changeover.domain.audit import AuditEvent
from changeover.store import audit, publications, routing
from changeover.store.engine import Store


@dataclass(frozen=True, slots=True)
class Doing:
    """What a firing did after all.

    Args:
        epoch: The rollback's epoch.
        confirmed_at: When the gateway served it; None while nobody knows.
        scope: What went back alone; None: everyone.
    """

    epoch: int
    confirmed_at: datetime | None = None
    scope: str | None = None


def occasion(firing: Firing) -> str:
    """Return what names the rollback of a part; the same firing after a restart is the same one."""
    return f"trigger-{firing.trigger}-{firing.at}"


def cause(firing: Firing) -> str:
    """Return why users go back, as the audit says it."""
    return f"trigger {firing.trigger}: {firing.reason}"


def doing(
    store: Store, migration: str, firing: Firing, *, complete_at: datetime, seen_at: datetime
) -> Doing | None:
    """Return what a firing did; None when somebody else was faster.

    The store may have done what it was asked for when nobody waited for its answer any more, or the
    observer was killed before it recorded the firing.

    Args:
        store: The store.
        migration: Name of the migration.
        firing: What asked for a rollback.
        complete_at: When its evidence was complete.
        seen_at: When it was found that users were on their way back.

    Raises:
        StoreError: The store cannot be read.
    """
    if firing.scope is not None and audit.is_recorded(store, migration, occasion(firing)):
        return Doing(routing.read(store, migration).epoch, scope=firing.scope)
    begun = audit.newest_of(store, migration, "rollback.started")
    if begun is None or not _is_of(begun, firing):
        return None
    # the same trigger may have fired before that rollback or after it, for nobody
    if not complete_at <= begun.at <= seen_at:
        return None
    epoch = routing.read(store, migration).epoch
    return Doing(epoch, _served_at(store, migration, epoch, begun.at))


def _is_of(begun: AuditEvent, firing: Firing) -> bool:
    # what was done without the store says so before its reason; after a restart the same seconds
    # may be told with other numbers
    reason = str(begun.data.get("reason", "")).removeprefix("break glass: ")
    return begun.actor == "observer" and reason.startswith(f"trigger {firing.trigger}: ")


def _served_at(store: Store, migration: str, epoch: int, since: datetime) -> datetime | None:
    for _, each in publications.after(store, migration, 0, since=since):
        if each.is_confirmed and each.epoch == epoch:
            return each.at + timedelta(seconds=each.seconds)
    return None
