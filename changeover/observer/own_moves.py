"""What gateway nodes did while they were cut off: recorded, and everyone sent back if need be.

Every step may be killed and done again. A node goes on with its own routes until the last one.

1. The audit says what the node did, once.
2. A rollback sends everyone back, unless the store's epoch went on since: then a rollback came,
   and whatever was decided after it was decided by people who knew of that one.
3. What fired is recorded with the rollback's epoch: a trigger that fired here too is one firing.
4. The node's row says that it is recorded, and the node follows the store again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.domain.gateway_nodes import GatewayNode
from changeover.domain.messages import Severity
from changeover.domain.own_moves import OwnMove
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.routing import ON_USERS
from changeover.observer.traffic import Traffic
from changeover.plan.triggers import TriggerAction
from changeover.site.site import Site
from changeover.store import audit, firings, gateway_nodes, routing

LOG = logging.getLogger("changeover.observer")


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
        for node in nodes:
            for move in node.unrecorded:
                # in their order: the row says up to which one they are recorded
                if not self._settle(move):
                    break
                gateway_nodes.note_recorded(
                    self._site.store, self._site.migration, node.name, move.at)

    def _settle(self, move: OwnMove) -> bool:
        """Record one; return False while everyone has still to go back."""
        site = self._site
        self._tell(move)
        if move.is_lost:
            return True
        state = routing.read(site.store, site.migration)
        if state.epoch < move.epoch and state.mode in ON_USERS:
            self._traffic.called_for.node_calls(state, f"{move.title}: {move.reason}")
            return False
        if move.firing:
            self._record_firing(move, min(move.epoch, state.epoch))
        return True

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
