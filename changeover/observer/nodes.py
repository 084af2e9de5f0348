"""What gateway nodes measured, merged into what triggers see; and nodes that fall silent.

Nodes send each second as soon as it is summed. Who judges waits for the seconds of live nodes, at
most `LATE_SECONDS` longer than without any. What comes later still, up to `KEPT_SECONDS`, is in the
windows of the next second that is judged; older seconds are in the store only, for gates and
reports. On a migration without nodes nobody waits, and the store is asked for them once a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.domain.gateway_nodes import Fleet, GatewayNode, not_heard_of
from changeover.domain.messages import Severity
from changeover.domain.routing import RoutingState
from changeover.observer.addresses import Addresses
from changeover.observer.notices import Notices
from changeover.site.site import Site
from changeover.store import gateway_nodes, samples

LOG = logging.getLogger("changeover.observer")

POLL_SECONDS, POLL_WITHOUT_SECONDS = 0.15, 1.0
LATE_SECONDS = 1
"""A node that is later with a second than that is judged without it."""
AGAIN_SECONDS = 4
"""So many newest seconds are read again at each poll: late lines of a log change them."""
KEPT_SECONDS = 120
AWAY_SECONDS = 1.0
"""While the store cannot be read for so long, nobody is waited for."""

Key = tuple[str, int]


class Merging:
    """Adds up the samples of several gateways, second by second. Called under the owner's lock."""

    def __init__(self) -> None:
        self._own: dict[Key, Sample] = {}
        self._others: dict[Key, dict[str, Sample]] = defaultdict(dict)
        self._changed: set[Key] = set()

    def add(self, rows: Iterable[Sample]) -> None:
        """Add samples of any gateways; those of the same gateway and second are replaced."""
        for row in rows:
            key = row.system, row.at
            if row.gateway == MAIN_GATEWAY:
                self._own[key] = row
            elif self._others[key].get(row.gateway) != row:
                self._others[key][row.gateway] = row
            else:
                continue
            self._changed.add(key)

    def pop_changed(self) -> list[Sample]:
        """Return the sums of the seconds that changed since the last call, oldest first."""
        changed, self._changed = self._changed, set()
        return [self._sum(key) for key in sorted(changed, key=lambda key: (key[1], key[0]))]

    def _sum(self, key: Key) -> Sample:
        own, others = self._own.get(key), self._others.get(key)
        if own is not None and not others:
            return own
        parts = [*([own] if own else []), *(others or {}).values()]
        system, at = key
        return samples.sum_of(system, MAIN_GATEWAY, range(at, at + 1), parts)

    def forget(self, before: int) -> None:
        """Forget seconds before one."""
        for known in (self._own, self._others):
            for key in [key for key in known if key[1] < before]:
                del known[key]


class Nodes:
    """The gateway nodes of a migration as its observer sees them.

    `watch` belongs to a thread of its own, the others to the one that judges.

    Args:
        site: The migration on the main machine.
        notices: Tells people of nodes that fall silent.
    """

    def __init__(self, site: Site, notices: Notices) -> None:
        self._site, self._notices = site, notices
        self._lock = threading.Lock()
        self._merging = Merging()
        self._fleet: Fleet | None = None
        self._asked = float("-inf")
        self._told: set[str] = set()
        self._reached: dict[str, int] = {}
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

    def restore(self) -> None:
        """Read what is stored of recent seconds; triggers know it already.

        Raises:
            StoreError: The store cannot be read.
        """
        # from the first second on live nodes are waited for
        self._fleet, self._asked = gateway_nodes.fleet(
            self._site.store, self._site.migration), time.monotonic()
        rows = self._rows(int(time.time()) - KEPT_SECONDS)
        with self._lock:
            self._merging.add(rows)
            self._merging.pop_changed()

    def complete(self, second: int) -> int:
        """Return up to which second all is known, or late nodes are not waited for any longer.

        Args:
            second: Up to which the main gateway's own seconds are complete (excluded).
        """
        fleet, is_known = self._fleet, time.monotonic() - self._asked < AWAY_SECONDS
        live = fleet.live if fleet is not None and is_known else []
        reached = [node.measured_until for node in live if node.measured_until]
        return max(min([second, *reached]), second - LATE_SECONDS)

    def merged(self, own: Iterable[Sample]) -> list[Sample]:
        """Return the sums of all gateways for seconds that changed: `own`, and nodes'."""
        with self._lock:
            self._merging.add(own)
            found = self._merging.pop_changed()
            self._merging.forget(int(time.time()) - KEPT_SECONDS)
        return found

    def poll(self, state: RoutingState) -> None:
        """Read what nodes sent, and tell people of those that fell silent.

        Raises:
            StoreError: The store cannot be read.
        """
        site = self._site
        fleet = gateway_nodes.fleet(site.store, site.migration)
        if fleet.counted:
            # the nodes' rows were read before: what they say is sent is found now
            rows = self._rows(self._since(fleet))
            with self._lock:
                self._merging.add(row for row in rows if row.gateway != MAIN_GATEWAY)
        self._fleet, self._asked = fleet, time.monotonic()
        self._tell(fleet, state)
        self._addresses.keep(fleet)

    def _rows(self, since: int) -> list[Sample]:
        # a machine's clock may be somewhat ahead
        span = range(since, int(time.time()) + KEPT_SECONDS)
        with self._site.store.read() as session:
            found = samples.read_rows(session, self._site.migration, None, 1, span=span)
        # comparisons become known later, and are read as a whole (`Observer._read_later`)
        return [row for row in found if row.system != SHADOW]

    def _since(self, fleet: Fleet) -> int:
        """Return from which second on samples may have changed."""
        now = int(time.time())
        before = [self._reached.get(node.name, 0) for node in fleet.counted]
        self._reached = {node.name: node.measured_until for node in fleet.counted}
        # one that was cut off sends seconds of long ago
        return max(now - KEPT_SECONDS, min([now, *before]) - AGAIN_SECONDS)

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
