"""The console's process, on the main machine and elsewhere."""

from __future__ import annotations

import gc
import logging
import signal

import uvicorn

from changeover.console.app import application
from changeover.console.auth import is_loopback
from changeover.console.context import Console
from changeover.site.service_main import end_when_amended
from changeover.site.site import Site

LOG = logging.getLogger("changeover.console")
MOST_CONNECTIONS = 2000
"""Each may wait for a change: a long poll costs a connection and no thread."""


def run(
    site: Site, host: str, port: int, *, name: str = Console.NAME, goes_on: bool = False
) -> bool:
    """Serve until SIGTERM or SIGINT; return whether that was because the plan was amended.

    Args:
        site: The migration.
        host: Address to listen on.
        port: Port to listen on.
        name: Under which it gives its signs of life.
        goes_on: Whether the caller does something after a signal has ended it.

    Raises:
        StoreError: The store cannot be used.
    """
    is_local = is_loopback(host)
    if not is_local:
        LOG.warning("listening on %s: every read needs a token, too; put TLS in front", host)
    app = application(Console(site, is_local=is_local, name=name))
    amended = end_when_amended(site)
    if goes_on:
        # the server raises its signal once more at its end, which would end the caller, too
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    gc.freeze()  # nothing that exists now ever goes away: the collector need not visit it again
    uvicorn.run(
        app, host=host, port=port, log_level="warning", access_log=False,
        # never who asked by `X-Forwarded-For`: anybody can write that header
        server_header=False, proxy_headers=False, timeout_keep_alive=30,
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=5,
    )
    return amended.is_set()
