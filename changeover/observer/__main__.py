"""Run the observer: `python -m changeover.observer --home DIR --migration NAME`."""

from __future__ import annotations

import logging
import signal
import sys
import time

from changeover.errors import ChangeoverError, StoreError, WrongStoreVersion
from changeover.observer.service import LOG, observe
from changeover.site.home import Home
from changeover.site.service_main import end_when_amended, log_to_stderr, service_parser
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store

STORE_TIMEOUT_SECONDS = 1.0
"""Longest wait for other writers; a rollback moves users before that, see `Traffic`."""


def main() -> int:
    """Observe until SIGTERM or SIGINT; return the exit code."""
    parser = service_parser(
        "observer", __doc__,
        "Started by `changeover up`; traffic rolls back by itself only while it runs.")
    parser.add_argument("--api-url", default="", help="Prefect's API; empty: no recovery.")
    arguments = parser.parse_args()
    log_to_stderr("observer")
    for chatty in ("httpx", "alembic"):  # a line for each request, several times a second
        logging.getLogger(chatty).setLevel(logging.WARNING)
    home = Home(arguments.home)
    try:
        store = _open(home)
        plan = plans.load(store, arguments.migration)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    site = Site(home, plan, store)
    observer = observe(site, arguments.api_url or None)
    # only a note: the loop ends at its next turn and saves what it has
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: observer.stop.set())
    end_when_amended(site)
    observer.run()
    return 0


def _open(home: Home) -> Store:
    """Open the store, waiting a while when it is locked just now."""
    # ten seconds: an upgrade of the store or a backup may be under way
    for _ in range(20):
        try:
            return Store.open(home.store_url, timeout=STORE_TIMEOUT_SECONDS)
        except WrongStoreVersion:  # waiting does not help
            raise
        except StoreError as error:
            LOG.error("%s", error)
            time.sleep(0.5)
    return Store.open(home.store_url, timeout=STORE_TIMEOUT_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
