"""What gateway nodes measured, merged into what triggers see; and nodes that fall silent.

Nodes send each second as soon as it is summed. Who judges waits for the seconds of live nodes, at
most `LATE_SECONDS` longer than without any. What comes later still, up to `KEPT_SECONDS`, is in the
windows of the next second that is judged; older seconds are in the store only, for gates and
reports. Each row is read once (`NodeSeconds`) and added up as it comes (`Merging`). On a migration
without nodes nobody waits, and the store is asked for them once a second.

After an outage this machine's own seconds may be older than that. They are added to what the others
had by then, which is read at the start (`restore`, `know`, `begin`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.domain.gateway_nodes import Fleet, GatewayNode, not_heard_of
from changeover.domain.messages import Severity
from changeover.domain.routing import RoutingState
from changeover.observer.addresses import Addresses
from changeover.observer.listening import SIGN_SECONDS
from changeover.observer.merging import Merging
from changeover.observer.node_seconds import KEPT_SECONDS, NodeSeconds
from changeover.observer.notices import Notices
from changeover.site.site import Site
from changeover.store import gateway_nodes
from changeover.store.notices import give_sign

LOG = logging.getLogger("changeover.observer")

POLL_SECONDS, POLL_WITHOUT_SECONDS = 0.15, 1.0
LATE_SECONDS = 1
"""A node that is later with a second than that is judged without it."""
ROWS_SECONDS = 6
"""Rows of single gateways are kept in memory for so long: longer than they usually change."""
RESTORED_SECONDS = 10
"""Seconds that are read at the start at least; of earlier ones, when they change."""
ANEW_SECONDS = 0.3
"""So long one turn reads seconds anew: of hundreds of gateways each takes a tenth of it or more."""
AWAY_SECONDS = 1.0
"""While the store cannot be read for so long, nobody is waited for."""


class Nodes:
    """The gateway nodes of a migration as its observer sees them.

    `watch` belongs to a thread of its own, the others to the one that judges.

    Args:
        site: The migration on the main machine.
        notices: Tells people of nodes that fall silent.
        memory: Seconds that triggers look back: what is older is not read anew.
    """

    def __init__(self, site: Site, notices: Notices, *, memory: int = KEPT_SECONDS) -> None:
        self._site, self._notices, self._memory = site, notices, max(memory, KEPT_SECONDS)
        self._lock = threading.Lock()
        own = site.gateway.name
        self._merging = Merging(own)
        self._seconds = NodeSeconds(site.store, site.migration, (own, MAIN_GATEWAY))
        self._fleet: Fleet | None = None
        self._asked, self._older = float("-inf"), range(0)
        self._told: set[str] = set()
        self._addresses = Addresses(site.store, site.migration, site.home.gateway_files)

    @property
    def has_any(self) -> bool:
        """Whether there is a node that serves users."""
        return bool(self._fleet and self._fleet.counted)

    @property
    def untold(self) -> tuple[GatewayNode, ...]:
        """The nodes that did something by themselves that is not recorded yet."""
        return self._fleet.untold if self._fleet else ()

    @property
    def pause(self) -> float:
        """Seconds until the store is asked again."""
        return POLL_SECONDS if self.has_any else POLL_WITHOUT_SECONDS

    def restore(self, first: int) -> None:
        """Read what is stored of recent seconds; triggers are given it by who restores them.

        `know` is given earlier ones, and `begin` ends it.

        Args:
            first: The second from which on this machine's own requests are counted again.

        Raises:
            StoreError: The store cannot be read.
        """
        fleet, now = gateway_nodes.fleet(self._site.store, self._site.migration), int(time.time())
        # with own requests of a second, those of all others must be there; a spare has none
        again = first if self._site.gateway.is_here else now
        since = max(now - KEPT_SECONDS, min(again, now - RESTORED_SECONDS))
        has_others = self._seconds.has_any(now - KEPT_SECONDS)
        rows = self._seconds.restore(fleet, since)
        self._older = range(again, since)
        with self._lock:
            self._merging.whole_from = since if has_others else 0
            self._merging.add(rows)
            self._merging.pop_changed()

    def know(self, rows: Sequence[Sample]) -> None:
        """Take in what all gateways have in the store of one system and second, recent or not."""
        if rows[0].at in self._older and rows[0].system != SHADOW:
            with self._lock:
                if self._merging.know(rows):
                    self._merging.whole_from = max(self._merging.whole_from, self._older.stop)

    def begin(self) -> None:
        """End what `restore` began: from the first second on live nodes are waited for.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._lock:
            # of those before the first nothing was read, and others' sums are known to triggers
            if self._older:
                self._merging.whole_from = min(self._merging.whole_from, self._older.start)
        # what was restored may have taken long, and who asked long ago waits for nobody
        fleet = gateway_nodes.fleet(self._site.store, self._site.migration)
        self._fleet, self._asked = fleet, time.monotonic()

    def set_back(self, to: int) -> None:
        """Note that this machine's clock was set back to a second."""
        with self._lock:
            self._merging.set_back(to)

    def complete(self, second: int) -> int:
        """Return up to which second all is known, or late nodes are not waited for any longer.

        Args:
            second: Up to which the main gateway's own seconds are complete (excluded).
        """
        fleet, is_known = self._fleet, time.monotonic() - self._asked < AWAY_SECONDS
        live = fleet.live if fleet is not None and is_known else []
        reached = [node.measured_until for node in live if node.measured_until]
        return max(min([second, *reached]), second - LATE_SECONDS)

    def merged(self, own: Iterable[Sample], until: int) -> list[Sample]:
        """Return the sums of all gateways for seconds that changed: `own`, and nodes'.

        Args:
            own: What this machine measured.
            until: The second up to which is judged; long ago while the log of an outage is read.
        """
        with self._lock:
            self._merging.add(own)
            found = self._merging.pop_changed()
            now = int(time.time())
            judged = min(now, until)
            self._merging.forget(judged - KEPT_SECONDS, rows=now - ROWS_SECONDS,
                                 unread=judged - self._memory)
        return found

    def poll(self, state: RoutingState) -> None:
        """Read what nodes sent, and tell people of those that fell silent.

        Raises:
            StoreError: The store cannot be read.
        """
        site = self._site
        fleet = gateway_nodes.fleet(site.store, site.migration)
        # once more after the last one has gone: it sent its last seconds just before
        if fleet.counted or self.has_any:
            # the nodes' rows were read before: what they say is sent is found now
            rows = self._seconds.read(fleet)
            with self._lock:
                self._merging.add(rows)
        self._read_anew()
        self._fleet, self._asked = fleet, time.monotonic()
        self._tell(fleet, state)
        self._addresses.keep(fleet)

    def give_signs(self, stop: threading.Event) -> None:
        """Have nodes hear every second that they would hear of a change, until `stop`."""
        while not stop.wait(SIGN_SECONDS):
            if self.has_any:
                give_sign(self._site.store, self._site.migration)

    def _read_anew(self) -> None:
        """Read whole seconds anew that cannot be put right otherwise, the newest first."""
        with self._lock:
            stale = self._merging.stale
        ends = time.monotonic() + ANEW_SECONDS
        for system, at in reversed(stale):
            rows = self._seconds.second(system, at)
            with self._lock:
                self._merging.replace((system, at), rows)
            if time.monotonic() >= ends:
                return

    def _tell(self, fleet: Fleet, state: RoutingState) -> None:
        silent = {node.name for node in fleet.silent}
        for node in fleet.silent:
            if node.name not in self._told:
                self._tell_of(node, fleet, state)
        for name in self._told - silent:
            LOG.info("gateway node %s is heard of again", name)
        self._told = silent

    def _tell_of(self, node: GatewayNode, fleet: Fleet, state: RoutingState) -> None:
        since, migration = not_heard_of(node, fleet.now), self._site.migration
        LOG.warning("gateway node %s is %s", node.name, since)
        is_behind = node.order < state.order
        self._notices.put(
            Severity.CRITICAL if is_behind else Severity.WARNING,
            f"gateway node {node.name} of {migration} is {since}",
            f"It listened on {node.address} and served {node.serves}. Its users get these routes "
            "while its Envoy runs, whatever is decided. See that the load balancer sends nobody "
            "there; when it can reach the store again it follows by itself.")
