"""The flag routes alone, as a process: `python -m tests.support.console STORE MIGRATION PORT`.

It waits longer for the store than a console does.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette

from changeover.console import ofrep
from changeover.sdk.feed import Feed
from changeover.store.engine import Store
from tests.support.processes import LONGEST_PAUSE


def main(store_url: str, migration: str, port: str, environment: str = "") -> None:
    """Serve until the process is ended."""
    store = Store.open(store_url)
    feed = Feed.from_store(store, migration, environment).start(wait=LONGEST_PAUSE)
    ofrep.CATCH_UP_SECONDS = LONGEST_PAUSE
    uvicorn.run(
        Starlette(routes=ofrep.routes(feed)), port=int(port), loop="uvloop", http="httptools",
        access_log=False, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
