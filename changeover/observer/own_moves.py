"""What gateway nodes did while they were cut off: recorded, and everyone sent back if need be.

Every step may be killed and done again. A node goes on with its own routes until the last one.

1. The audit says what the node did, once.
2. A rollback sends everyone back, unless one came since: whatever was decided after it was decided
   by people who knew of that one. One in steps, which lets some stay at the candidate for a while,
   is enough only for what is not urgent.
3. What fired is recorded with the rollback's epoch: a trigger that fired here too is one firing.
4. The node's row says that it is recorded, and the node follows the store again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.domain.gateway_nodes import GatewayNode
from changeover.domain.messages import Severity
from changeover.domain.own_moves import OwnMove
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.routing import ON_USERS, Mode, RoutingState
from changeover.observer.traffic import Traffic
from changeover.plan.triggers import TriggerAction
from changeover.site.site import Site
from changeover.store import audit, firings, gateway_nodes, routing

LOG = logging.getLogger("changeover.observer")

SAME_FAILURE = timedelta(minutes=1)
"""A rollback that began so shortly before a node's was because of the same failure."""


class NodesMoves:
    """Belongs to the thread that follows nodes.

    Args:
        site: The migration on the main machine.
        traffic: Rolls everyone back, and tells people.
    """

    def __init__(self, site: Site, traffic: Traffic) -> None:
        self._site, self._traffic = site, traffic

    def settle(self, nodes: Iterable[GatewayNode]) -> None:
        """Record what nodes say they did; a rollback that is not done yet is recorded later.

        Raises:
            StoreError: The store cannot be used; what was recorded is not recorded again.
        """
        settled = [self._settle_all(node) for node in nodes]
        if all(settled):
            self._traffic.called_for.no_node_calls()

    def _settle_all(self, node: GatewayNode) -> bool:
        for move in node.unrecorded:
            # in their order: the row says up to which one they are recorded
            if not self._settle(move):
                return False
            gateway_nodes.note_recorded(self._site.store, self._site.migration, node.name, move.at)
        return True

    def _settle(self, move: OwnMove) -> bool:
        """Record one; return False while everyone has still to go back."""
        site = self._site
        self._tell(move)
        if move.is_lost:
            return True
        state = routing.read(site.store, site.migration)
        if not self._is_covered(move, state):
            self._traffic.called_for.node_calls(state, f"{move.title}: {move.reason}")
            return False
        if move.firing:
            self._record_firing(move, min(move.epoch, state.epoch))
        return True

    def _is_covered(self, move: OwnMove, state: RoutingState) -> bool:
        """Whether a rollback of everyone came that is about what a node did, too."""
        if state.mode not in ON_USERS:
            return True
        if state.epoch < move.epoch:
            return False
        if state.mode is Mode.RETURNING and state.epoch == move.epoch:
            return not move.is_urgent
        # the newest one is that of the present epoch
        newest = audit.newest_of(self._site.store, self._site.migration, "rollback.started")
        moment = move.moment
        return newest is not None and moment is not None and newest.at > moment - SAME_FAILURE

    def _tell(self, move: OwnMove) -> None:
        kind = "gateway_node.lost" if move.is_lost else "gateway_node.rolled_back"
        data = {"node": move.node, "reason": move.reason, "epoch": move.epoch, "at": move.at}
        is_new = audit.record(self._site.store, self._site.migration, NewEvent(
            actor=move.actor, kind=kind, at=clock.now(), data=data,
            once_key=f"own-move-{move.node}-{move.at}"))
        if is_new:
            LOG.warning("%s because %s", move.title, move.reason)
            self._traffic.notices.put(
                Severity.WARNING if move.is_lost else Severity.CRITICAL,
                f"{move.title} ({self._site.migration})", f"At {move.at}: {move.reason}")

    def _record_firing(self, move: OwnMove, epoch: int) -> None:
        fired = move.firing
        evidence = {**fired["evidence"], "gateway": move.node}
        # of everyone, whatever part it was about: the node knew no other way
        evidence.pop("scope", None)
        complete_at = float(evidence.get("complete_at", int(fired["second"]) + 1))
        saved = firings.record(self._site.store, TriggerFiring(
            self._site.migration, str(fired["trigger"]), TriggerAction.ROLLBACK,
            str(fired["reason"]), evidence,
            evidence_complete_at=clock.from_timestamp(complete_at),
            fired_at=datetime.fromisoformat(move.at), epoch=epoch))
        if move.served_at:
            firings.note_published(
                self._site.store, saved.id, at=datetime.fromisoformat(move.served_at))
