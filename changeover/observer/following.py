"""A member of a group goes back when one that goes first was rolled back.

Every member's observer finds that in the store, so nobody has to tell it: whoever is killed, and
whenever an observer starts again, what is stored says who must go back. Those of higher order go
first; the others wait for them a moment, no longer, since a host may be down.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from changeover.domain.messages import Message, Severity
from changeover.domain.routing import ON_USERS, RoutingState
from changeover.site.site import Site
from changeover.store import heartbeats, messages, routing
from changeover.store import members as stored
from changeover.store.members import Overtaken

LATER_FIRST_SECONDS = 2.0
"""How long a member lets those of higher order go back before it."""
AGAIN_SECONDS = 60.0
"""After a rollback that is not possible: the baseline was retired."""
SILENT_AFTER = timedelta(seconds=10)
"""When people are told of a member that has not followed."""


class Following:
    """Finds the rollback that a member must follow.

    `look` belongs to the thread that talks to the store, the others to the one that rolls back.

    Args:
        site: The member.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._since: float | None = None
        self._due: tuple[int, str] | None = None
        self._not_before = float("-inf")

    def look(self, state: RoutingState) -> None:
        """Find out whether the users must go back.

        Raises:
            StoreError: The store cannot be read.
        """
        # without users at the candidate there is nothing to take back
        is_member = self._site.plan.group is not None and state.mode in ON_USERS
        found = stored.overtaken(self._site.store, state.migration) if is_member else []
        if not found:
            self._since = self._due = None
            return
        if self._since is None:
            self._since = time.monotonic()
        orders = self._orders()
        # the one that goes first of all: its rollback is why the others went back
        first = min(found, key=lambda each: (orders.get(each.leader, 0), each.leader))
        is_patient = time.monotonic() - self._since < LATER_FIRST_SECONDS
        if not (is_patient and self._later(first.leader, orders)):
            self._due = state.epoch, reason_of(first)

    def _orders(self) -> dict[str, int]:
        group = self._site.plan.group
        known = stored.plans_of(self._site.store, group.name) if group else []
        return {plan.migration: plan.group.order for plan in known if plan.group}

    def _later(self, leader: str, orders: dict[str, int]) -> bool:
        """Whether members of higher order have still to follow the same rollback."""
        own = orders.get(self._site.migration, 0)
        left = stored.left_behind(self._site.store, leader)
        return any(orders.get(each.migration, 0) > own for each in left)

    def due(self, state: RoutingState) -> str | None:
        """Return why everyone must go back to the baseline now; None while nobody must."""
        due = self._due
        # of this epoch only: a rollback in between has done it
        is_now = due is not None and due[0] == state.epoch and time.monotonic() > self._not_before
        return due[1] if due is not None and is_now else None

    def put_off(self) -> None:
        """Try again later what is not possible now."""
        self._not_before = time.monotonic() + AGAIN_SECONDS


def reason_of(overtaken: Overtaken) -> str:
    """Return why a member goes back."""
    why = f": {overtaken.reason}" if overtaken.reason else ""
    return f"follows the rollback of {overtaken.leader}{why}"


def announce_left_behind(site: Site, now: datetime) -> None:
    """Tell people which members have not followed this one's rollback, once for each.

    Raises:
        StoreError: The store cannot be used.
    """
    if site.plan.group is None:
        return
    for each in stored.left_behind(site.store, site.migration):
        if each.since is not None and now - each.since >= SILENT_AFTER:
            _announce(site, each, now)


def _announce(site: Site, left: Overtaken, now: datetime) -> None:
    member = routing.read(site.store, left.migration)
    epoch = routing.read(site.store, left.leader).epoch
    beats = {beat.service: beat.at for beat in heartbeats.of(site.store, left.migration)}
    at = beats.get("observer")
    seen = f"gave its last sign of life at {at:%F %T} UTC" if at else "never gave a sign of life"
    # the leader's epoch in the key: people are told once for each rollback
    messages.put(site.store, Message(
        site.migration, key=f"left-behind-{epoch}-{left.migration}", severity=Severity.CRITICAL,
        title=f"{left.migration} has not followed the rollback of {left.leader}",
        body=f"{left.migration} is at {member.describe()}; its observer {seen}. It goes back by "
        "itself as soon as its observer works. On its host: `changeover up` starts it again, "
        "`changeover rollback` or rollback.sh sends everyone to the baseline at once.",
        at=now), is_once=True)
