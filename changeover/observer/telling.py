"""Tells others of every decision: each receiver has a thread, so a slow one delays no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from changeover import clock
from changeover.notify.prefect_events import PrefectFeed
from changeover.notify.relaying import Receiver, Relaying
from changeover.notify.teams import teams_of
from changeover.notify.webhooks import Webhook
from changeover.observer.throttle import LogOnce
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site

SECONDS = 0.5
"""How often it is looked for decisions that others do not know yet."""


def receivers_of(site: Site, api: PrefectApi | None) -> list[Receiver]:
    """Return everybody who is told of a migration's decisions."""
    found: list[Receiver] = []
    for name, spec in site.plan.webhooks.items():
        found.append(Webhook(name, spec))
    found += teams_of(site.plan)
    if api is not None:
        found.append(PrefectFeed(api, clock.now))
    return found


def parts(
    site: Site, api: PrefectApi | None, log: LogOnce, stop: threading.Event
) -> list[tuple[str, Callable[[], None]]]:
    """Return the observer's parts that tell others, by name."""
    found: list[tuple[str, Callable[[], None]]] = []
    for receiver in receivers_of(site, api):
        relaying = Relaying(site.store, site.migration, receiver, clock.now)
        name = f"events for {receiver.target}"
        found.append((name, partial(_tell, relaying, name, log, stop)))
    return found


def _tell(relaying: Relaying, name: str, log: LogOnce, stop: threading.Event) -> None:
    while not stop.wait(SECONDS):
        log.run(name, relaying.run)
