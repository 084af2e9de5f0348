"""Every observer keeps a copy of where the gateway nodes are, for when the store is down.

Also one that waits for the lead: its machine may be the one that is left.
"""

from __future__ import annotations

from changeover.domain.gateway_nodes import Fleet
from changeover.errors import StoreError
from changeover.gateway.files import GatewayFiles
from changeover.observer.throttle import LogOnce, Throttle
from changeover.site.node_addresses import Book
from changeover.store import gateway_nodes
from changeover.store.engine import Store

READ_SECONDS = 3.0


class Addresses:
    """Keeps the copy of one home.

    Args:
        store: The store.
        migration: Whose nodes.
        files: Where the copy lies, beside what a gateway has.
    """

    def __init__(self, store: Store, migration: str, files: GatewayFiles) -> None:
        self._store, self._migration = store, migration
        self._book, self._log, self._throttle = Book(files, migration), LogOnce(), Throttle()

    def keep(self, fleet: Fleet) -> None:
        """Keep what was read; judging goes on when that fails."""
        self._log.run("where gateway nodes are", lambda: self._book.keep(fleet.nodes))

    def follow(self) -> None:
        """Read and keep it every few seconds, while the observer waits; call it at every turn."""
        if not self._throttle.is_due("read", READ_SECONDS):
            return
        try:
            fleet = gateway_nodes.fleet(self._store, self._migration)
        # who waits says so already
        except StoreError:
            return
        self.keep(fleet)
