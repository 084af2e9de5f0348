"""An observer's process: it waits for the lead, observes, and begins anew when it lost the lead."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable

from changeover.errors import StoreError
from changeover.observer.leading import Leading
from changeover.observer.service import observe
from changeover.site.service_main import end_when_amended
from changeover.site.site import Site


def serve(
    leading: Leading | None, site_of: Callable[[], Site], *, api_url: str = ""
) -> None:
    """Observe until SIGTERM or SIGINT.

    Args:
        leading: The lead to wait for; None where there is one observer only.
        site_of: Opens the migration with the plan that is in force when it begins.
        api_url: Prefect's API; empty: no recovery.

    Raises:
        InvalidInput: No such migration.
        StoreError: The store cannot be used.
    """
    stop = threading.Event()
    # only a note: the loop ends at its next turn and saves what it has
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if leading is not None and not leading.wait(stop):
        return
    if leading is not None:
        leading.watch(stop)
        # before the plan: an older digest only has the process begin once more
        leading.digest = leading.plan_digest()
    site = site_of()
    observer = observe(site, api_url or None, stop)
    end_when_amended(site, leading.digest if leading is not None else "")
    if leading is not None:
        site.store.fence = leading.require
        observer.may_act = leading.may_act
    observer.run()
    if leading is not None and (leading.lost.is_set() or _is_amended(leading)):
        # all threads end by it, whatever they are about to do
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _is_amended(leading: Leading) -> bool:
    """Whether a spare ends because the plan is another one: no supervisor starts it again."""
    with contextlib.suppress(StoreError):
        return leading.is_spare and leading.plan_digest() not in ("", leading.digest)
    return False
