"""An observer's process: it waits for the lead, observes, and begins anew when it lost the lead."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from changeover.errors import StoreError
from changeover.observer.addresses import Addresses
from changeover.observer.leading import WAIT_SECONDS, Leading
from changeover.observer.service import Observer, observe
from changeover.observer.throttle import LogOnce
from changeover.site.service_main import end_when_amended
from changeover.site.site import Site
from changeover.store import routing
from changeover.store.leading import end_idle_transactions

LOG = logging.getLogger("changeover.observer")

RESTORE_SECONDS = 0.5
"""How long after a failure it is tried again to read what was known before the start."""


def serve(
    leading: Leading | None, site_of: Callable[[], Site], *, addresses: Addresses,
    api_url: str = "",
) -> None:
    """Observe until SIGTERM or SIGINT.

    Args:
        leading: The lead to wait for; None where there is one observer only.
        site_of: Opens the migration with the plan that is in force when it begins.
        addresses: Keeps where gateway nodes are, while it waits.
        api_url: Prefect's API; empty: no recovery.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used.
    """
    stop = threading.Event()
    # only a note: the loop ends at its next turn and saves what it has
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if leading is None:
        site = site_of()
        end_when_amended(site)
        if (observer := begun(site, api_url, stop)) is not None:
            observer.run()
        return
    led = _led_site(leading, site_of, addresses, stop)
    is_amended = led is not None and _lead(leading, led, api_url, stop)
    # no supervisor starts a spare again
    if leading.lost.is_set() or (leading.is_spare and is_amended):
        # all threads end by it, whatever they are about to do
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _lead(leading: Leading, led: Site, api_url: str, stop: threading.Event) -> bool:
    """Observe as the one that leads; return whether it ended because the plan was amended."""
    end_idle_transactions(led.store)
    amended = end_when_amended(led, leading.digest)
    led.store.fence = leading.require
    if (observer := begun(led, api_url, stop)) is not None:
        observer.may_act = leading.may_act
        observer.run()
    return amended.is_set()


def begun(site: Site, api_url: str, stop: threading.Event) -> Observer | None:
    """Return an observer that knows what the one before knew; None when `stop` is set first.

    While the store cannot be read it waits, and gives no sign of life: status and health check call
    it silent. It could take nobody back meanwhile, since it does not know where users are; and with
    an empty memory it would write over what triggers remember.

    Args:
        site: The migration.
        api_url: Prefect's API; empty: no recovery.
        stop: Ends the waiting.
    """
    log = LogOnce()
    while not stop.is_set():
        try:
            # first: while the store is away nothing else is begun
            routing.read(site.store, site.migration)
            # made anew at each turn: what was read before a failure would count twice
            observer = observe(site, api_url or None, stop)
            _restore(observer)
        except StoreError as error:
            log.problem("start", f"nothing is watched yet, because what was known before the start "
                                 f"cannot be read: {error}")
            stop.wait(RESTORE_SECONDS)
            continue
        log.fine("start", "what was known before the start is read: everything is watched again")
        return observer
    return None


def _restore(observer: Observer) -> None:
    try:
        observer.restore()
    except StoreError:
        raise
    except Exception:
        # a fault that another try does not mend: users must be watched all the same
        LOG.exception("not all that was known before the start could be used: it begins anew")


def _led_site(
    leading: Leading, site_of: Callable[[], Site], addresses: Addresses, stop: threading.Event
) -> Site | None:
    """Wait for the lead, and return the migration with the plan of that moment; None at the end."""
    while leading.wait(stop, addresses.follow):
        # at once: the server ends a session that says nothing while the plan is read
        leading.watch(stop)
        try:
            # before the plan: an older digest only has the process begin once more
            leading.digest = leading.plan_digest()
            site = site_of()
        except StoreError as error:
            # the database went away in between: somebody else may be faster
            LOG.info("this observer waits: %s", error)
            leading.give_up()
            stop.wait(WAIT_SECONDS)
            continue
        return site
    return None
