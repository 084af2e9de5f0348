"""Bringing the store's routing state to the node's Envoy, as soon as it changes."""

from __future__ import annotations

import logging
from typing import Any

from changeover.domain.own_moves import LOST
from changeover.domain.routing import RoutingState
from changeover.errors import PublishFailed, StoreError, Unreachable
from changeover.node.card import Card
from changeover.node.own_moves import OwnMoves
from changeover.observer.throttle import LogOnce, Throttle
from changeover.site.site import Site
from changeover.store import gateway_nodes, routing

LOG = logging.getLogger("changeover.node")

POLL_SECONDS, HEARING_SECONDS = 0.1, 1.0
"""How often the store is asked (one row by its key), and how often while it provably says of
changes by itself."""
ENVOY_SECONDS = 1.0
"""How often Envoy is asked what it serves; after a change it is asked at once."""
RETRY_SECONDS = 1.0


class Following:
    """Follows the routing state for one plan.

    Args:
        site: The migration, with the node's own gateway.
        card: Where what is served is noted.
        moves: What the node did without the store.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, card: Card, moves: OwnMoves, log: LogOnce) -> None:
        self._site, self._card, self._moves, self._log = site, card, moves, log
        self._throttle = Throttle()

    def pause(self, *, is_heard: bool) -> float:
        """Return the seconds until the store is asked again.

        Args:
            is_heard: Whether a change would be heard of.
        """
        card = self._card
        is_settled = card.is_serving and card.served == card.wanted and not card.is_cut_off
        # what is not recorded, or not served yet, is asked for until it is; a sign of life that is
        # due is not put off: after three seconds without one a node counts as silent
        if is_heard and is_settled and not (card.problem or self._moves.waiting() or card.is_due):
            return HEARING_SECONDS
        return POLL_SECONDS

    def step(self) -> None:
        """Read the state, bring it to Envoy, and say what is served."""
        card, store = self._card, self._site.store
        try:
            # asked first: the state that is read next is then of after the recording
            journal = self._moves.journal
            may_serve = self._may_serve(journal)
            state = routing.read(store, self._site.migration)
            card.heard()
            card.want(state.order)
            card.state, before = state, (card.served, card.is_serving)
            # a store that hung may answer after users were sent back
            if may_serve and self._moves.let_back(self._site.plan, state, journal):
                self._serve(state)
            else:
                self._ask_envoy()
            if card.is_due or before != (card.served, card.is_serving):
                card.sign(store)
            self._log.fine("store", "the store answers again")
        except StoreError as error:
            self._ask_envoy()
            self._log.problem("store", f"the store cannot be used: {error}")

    def _may_serve(self, journal: dict[str, Any] | None) -> bool:
        """Whether the store's routes are served here: not before it knows of a rollback here."""
        who = self._card.who
        recorded = gateway_nodes.recorded(self._site.store, who) if self._moves.waiting() else ""
        if recorded:
            self._moves.forget(recorded)
        if journal is not None and journal.get(LOST):
            # one that is read and takes no word is what users were moved for
            return not self._card.is_cut_off
        return journal is None or journal.get("at") == recorded

    def _serve(self, state: RoutingState) -> None:
        """Publish a state that Envoy does not serve yet."""
        card = self._card
        self._ask_envoy()
        if card.is_serving and card.served is not None and card.served >= state.order:
            self._log.fine("routes", f"serves {state.describe()}")
            card.problem = ""
            return
        # a new state at once, the same one again only after a while
        if not self._throttle.is_due(f"publish {state.order}", RETRY_SECONDS):
            return
        try:
            done = self._site.gateway.publish(self._site.plan, state)
        except PublishFailed as failure:
            card.problem = failure.what
            self._log.problem("routes", f"not published: {failure}")
            return
        card.served, card.is_serving, card.problem = (done.epoch, done.version), True, ""
        LOG.info("serves %s after %.0f ms", state.describe(), done.seconds * 1000)

    def _ask_envoy(self) -> None:
        card = self._card
        if card.served == card.wanted and not self._throttle.is_due("envoy", ENVOY_SECONDS):
            return
        try:
            card.served, card.is_serving = self._site.gateway.served(), True
        except Unreachable:
            card.is_serving = False
