"""What a node knows of itself, shared by its threads, and its signs of life in the store."""

from __future__ import annotations

import threading
import time

from changeover.domain.routing import RoutingState
from changeover.node.own_moves import OwnMoves
from changeover.node.standing import CUT_OFF_AFTER, Known, Readiness, readiness
from changeover.plan.model import Plan
from changeover.store import gateway_nodes
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity, Sign

SIGN_SECONDS = 1.0
"""How often a node gives a sign of life at least; 3 s without one, and it is named as silent."""


class Card:
    """Each value is written by one thread, and read by all.

    Args:
        who: Who the node is.
        moves: What it did with its users while it was cut off.
    """

    def __init__(self, who: Identity, moves: OwnMoves | None = None) -> None:
        self.who, self.moves = who, moves
        self.is_draining = False
        self.is_serving = False
        self.wanted: tuple[int, int] | None = None
        self.state: RoutingState | None = None
        """The newest routing state that it read."""
        self.plan: Plan | None = None
        """The plan in force, as this node sees it; None before the first."""
        self.served: tuple[int, int] | None = None
        self.measured_until = 0
        self.problem = ""
        self.note = ""
        """What does not hinder the routes, as a listener of an earlier plan."""
        self.no_comparing = ""
        """Why nothing is compared here although it should be; empty when something is."""
        self.old_plan = ""
        """Why it goes on with a plan that is not in force any more; empty when it does not."""
        self.is_replaced = False
        """Whether another home's node, or one with a copy of this home, has this name by now."""
        self._rolled_back = float("-inf")
        """When it first read of the epoch of `wanted`."""
        self._heard: float | None = None
        """When the store answered first."""
        self._said = float("-inf")
        self._lock = threading.Lock()

    def heard(self) -> None:
        """Note that the store answered."""
        if self._heard is None:
            self._heard = time.monotonic()

    def want(self, order: tuple[int, int]) -> None:
        """Note (epoch, version) of the newest routing state."""
        # of the first one nobody knows for how long it has been in force
        if self.wanted is not None and order[0] > self.wanted[0]:
            self._rolled_back = time.monotonic()
        self.wanted = order

    def readiness(self) -> Readiness:
        """Return whether users may be sent here."""
        return readiness(Known(
            self.is_draining, self.is_serving, self.wanted, self.served, self.silence,
            self.problems, waiting=time.monotonic() - self._rolled_back))

    @property
    def problems(self) -> str:
        """What is not as it should be, for people; empty when nothing is."""
        away = self.moves.text if self.moves is not None else ""
        return "; ".join(filter(None, (
            self.problem, away, self.note, self.no_comparing, self.old_plan)))

    @property
    def silence(self) -> float | None:
        """Seconds since the store took a sign of life last; None when it never answered.

        One that answers and takes nothing (a disk that is full, a standby) is none: nobody judges
        by it, and no rollback is in it.
        """
        return None if self._heard is None else time.monotonic() - max(self._heard, self._said)

    @property
    def is_cut_off(self) -> bool:
        """Whether a store that was there before has not been for some seconds."""
        silence = self.silence
        return silence is not None and silence > CUT_OFF_AFTER

    @property
    def is_due(self) -> bool:
        """Whether it is time for a sign of life."""
        return time.monotonic() - self._said >= SIGN_SECONDS

    def sign(self, store: Store, *, said: Sign | None = None) -> None:
        """Give a sign of life: what is served, measured, and in the way.

        Raises:
            StoreError: The store cannot be written.
        """
        # one after the other: an older word must not come after a newer one
        with self._lock:
            found = said or Sign(
                self.readiness().state, self.served, self.measured_until, self.problems,
                tuple(self.moves.waiting()) if self.moves else ())
            self.is_replaced = not gateway_nodes.sign(store, self.who, found)
            self._said = time.monotonic()
            self.heard()
