"""Run the observer: `python -m changeover.observer --home DIR --migration NAME`."""

from __future__ import annotations

import sys
import time

from changeover.errors import ChangeoverError, StoreError, WrongStoreVersion
from changeover.observer.addresses import Addresses
from changeover.observer.leading import Leading
from changeover.observer.service import LOG
from changeover.observer.serving import serve
from changeover.site.home import Home
from changeover.site.service_main import log_to_stderr, service_parser
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
    home = Home(arguments.home)
    try:
        store = _open(home)
        serve(Leading.of(store, arguments.migration),
              lambda: Site(home, plans.load(store, arguments.migration), store),
              addresses=Addresses(store, arguments.migration, home.gateway_files),
              api_url=arguments.api_url)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
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
