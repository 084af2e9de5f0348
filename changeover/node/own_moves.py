"""A node's own moves: its users at the baseline without the store, until the store knows.

1. The gateway's journal is written first, as by break glass; then the routes. A kill leaves both
   to the next start.
2. While the store is away nothing more happens; the node's triggers have no users to judge.
3. When the store answers, the node's row says what it did. The main machine's observer records it
   and sends everyone back, since a node may not write what decides about users elsewhere.
4. Only then the store's routes are published here, and the journal goes.

A node that was only lost for `routing.lost_after` has its users back at once, unless somebody broke
glass there meanwhile. What it did is kept in a file until it is recorded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changeover import clock
from changeover.domain.own_moves import LOST, unrecorded
from changeover.domain.routing import RoutingState
from changeover.domain.storable import storable_in
from changeover.gateway.publish import Gateway
from changeover.gateway.routes_on_disk import replace_json
from changeover.plan.model import Plan

LOG = logging.getLogger("changeover.node")

SERVED_SECONDS = 1.0
"""How long Envoy is asked whether it serves a move."""
MOST_KEPT = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """A move: the journal that is in force, and whether Envoy was seen to serve it."""

    entry: dict[str, Any]
    is_served: bool


class OwnMoves:
    """Makes them, keeps them, and knows which are not recorded yet.

    Args:
        gateway: The node's own.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._path = gateway.files.root / "own-moves.json"
        self._lock = threading.Lock()
        self._served: dict[str, str] = {}

    def make(self, reason: str, *, actor: str, facts: Mapping[str, Any]) -> Moved:
        """Send the node's users to the baseline; a move that is in force already stays.

        Raises:
            EnvironmentProblem: The files cannot be written.
        """
        entry = self._gateway.break_glass(
            reason=reason, actor=actor, now=clock.now(), facts=facts)
        LOG.warning("sent everyone to the baseline without the store because %s", reason)
        if entry.get(LOST):
            self._remember(entry)
        order = int(entry["epoch"]), int(entry["version"])
        is_served = self._gateway.serves_within(order, SERVED_SECONDS)
        if is_served:
            self._served.setdefault(str(entry["at"]), clock.now().isoformat())
        return Moved(entry, is_served)

    @property
    def journal(self) -> dict[str, Any] | None:
        """The move that is in force, None when there is none."""
        return self._gateway.journal()

    @property
    def text(self) -> str:
        """Why users are at the baseline, for people; empty when none are by a move."""
        journal = self.journal
        return "" if journal is None else \
            f"its users are at the baseline because {journal.get('reason')}"

    def waiting(self) -> list[dict[str, Any]]:
        """Return what is not known to be recorded, oldest first."""
        with self._lock:
            entries, journal = self._kept(), self.journal
        if journal is not None and journal.get("at") not in [each.get("at") for each in entries]:
            entries.append(journal)
        return [{**entry, "served_at": self._served.get(str(entry.get("at")), "")}
                for entry in entries]

    def forget(self, recorded: str) -> None:
        """Forget what is recorded, up to the move of a moment."""
        with self._lock:
            kept = self._kept()
            if len(left := unrecorded(kept, recorded)) < len(kept):
                self._keep(left)

    def let_back(self, plan: Plan, state: RoutingState, journal: dict[str, Any] | None) -> bool:
        """Serve the store's state again; a move that is not recorded yet stays known.

        Args:
            plan: The plan in force.
            state: What the store says.
            journal: The move that the store knows of; None when there was none.

        Returns:
            Whether the store's state may be served: no, when there is another move by now.

        Raises:
            EnvironmentProblem, OSError: The files cannot be written.
        """
        if journal is None:
            return self.journal is None
        if journal.get(LOST):
            self._remember(journal)
        if not self._gateway.reconcile(plan, state, only=journal):
            return False
        LOG.info("serves the store's routes again: %s", state.describe())
        return True

    def _remember(self, entry: dict[str, Any]) -> None:
        """Keep a move whose journal may go, or be replaced, before it is recorded."""
        with self._lock:
            kept = [each for each in self._kept() if each.get("at") != entry.get("at")]
            self._keep([*kept, entry])

    def _kept(self) -> list[dict[str, Any]]:
        # none, or a file that a full disk cut short
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            return list(storable_in(found["moves"]))
        return []

    def _keep(self, entries: list[dict[str, Any]]) -> None:
        if entries:
            replace_json(self._path, {"moves": entries[-MOST_KEPT:]})
        else:
            self._path.unlink(missing_ok=True)
