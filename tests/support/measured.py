"""Whether all that gateways served is in the store, and nothing twice: their logs against its sums.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from changeover import clock
from changeover.domain.routing import System
from changeover.gateway.publish import Gateway
from changeover.gateway.tailer import Tailer
from changeover.store import samples
from changeover.store.engine import Store
from tests.support.processes import wait_for

SETTLED_SECONDS = 2
"""So long after its end a second is in the log."""


def wait_measured_once(
    store: Store, migration: str, gateways: Sequence[Gateway], *, since: int
) -> None:
    """Wait until the store's sums over all gateways are what the gateways' logs say.

    Args:
        store: The store.
        migration: Name of the migration.
        gateways: All of its gateways.
        since: The Unix second from which on is compared.
    """
    span = range(since, int(time.time()) - SETTLED_SECONDS)

    def served() -> int:
        return sum(int(entry.end) in span and entry.served_by is not None
                   for each in gateways for entry in Tailer(each.files.access_log, {}).read())

    def stored() -> int:
        start, end = clock.from_timestamp(span.start), clock.from_timestamp(span.stop)
        return sum(samples.window(store, migration, system, start=start, end=end).requests
                   for system in System)

    wait_for(lambda: stored() == served() > 0, seconds=30,
             what=f"what was served from {span.start} to {span.stop} is measured, once")
