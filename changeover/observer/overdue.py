"""Rollbacks that somebody calls for in the store, and that nobody did in time."""

from __future__ import annotations

import time

from changeover.domain.routing import ON_USERS, RoutingState
from changeover.observer.following import AGAIN_SECONDS, Following
from changeover.site.site import Site
from changeover.store import rollbacks

WANTED_GRACE_SECONDS = 3.0
"""How long a rollback that a failed item calls for is left to the console."""


class Overdue:
    """Knows why everyone must go back although no trigger of the observer fired.

    `look`, `node_calls` and `no_node_calls` belong to threads that talk to the store, the others to
    the one that rolls back.

    Args:
        site: The migration on this machine.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._following = site, Following(site)
        self._wanted_since: tuple[tuple[int, int], float] | None = None
        self._failed: tuple[tuple[int, int], str] | None = None
        self._by_node: tuple[tuple[int, int], str] | None = None
        self._not_before = float("-inf")

    def look(self, state: RoutingState) -> None:
        """Find out what a failed item and the group's other members call for.

        Raises:
            StoreError: The store cannot be read.
        """
        self._look_for_failed(state)
        self._following.look(state)

    def _look_for_failed(self, state: RoutingState) -> None:
        """Find a rollback that a failed item calls for and its console did not carry out.

        It was recorded in the failure's transaction, so that it is not lost when the console and
        the worker die at that moment.
        """
        rolls_back = self._site.plan.claims.rollback_on_failure
        may_be_wanted = rolls_back and state.mode in ON_USERS
        reason = rollbacks.wanted(self._site.store, state) if may_be_wanted else None
        if reason is None:
            self._wanted_since = self._failed = None
            return
        # the wish is about this very state: any change of it begins the grace anew
        if self._wanted_since is None or self._wanted_since[0] != state.order:
            self._wanted_since = state.order, time.monotonic()
        if time.monotonic() - self._wanted_since[1] > WANTED_GRACE_SECONDS:
            self._failed = state.order, reason

    def node_calls(self, state: RoutingState, reason: str) -> None:
        """Note that a gateway node sent its users back; called again while that is so.

        It is about this very state: whatever changes it, what the node did is looked at anew.
        """
        self._by_node = state.order, reason

    def no_node_calls(self) -> None:
        """Note that nothing is left which gateway nodes did and everyone has to follow."""
        self._by_node = None

    def reason(self, state: RoutingState) -> str | None:
        """Return why a rollback is needed that nobody did in time; None when none is."""
        failed, by_node = self._failed, self._by_node
        if failed is not None and failed[0] == state.order:
            return failed[1]
        is_called = by_node is not None and by_node[0] == state.order
        if by_node is not None and is_called and time.monotonic() > self._not_before:
            return by_node[1]
        return self._following.due(state)

    def put_off(self) -> None:
        """Try again later what is not possible now."""
        self._not_before = time.monotonic() + AGAIN_SECONDS
        self._following.put_off()
