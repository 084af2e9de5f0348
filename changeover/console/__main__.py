"""Run the console: `python -m changeover.console --home DIR --migration NAME --port PORT`."""

from __future__ import annotations

import gc
import logging
import sys

import uvicorn

from changeover.console.app import application
from changeover.console.auth import is_loopback
from changeover.console.context import Console
from changeover.errors import ChangeoverError
from changeover.site.home import Home
from changeover.site.service_main import end_when_amended, log_to_stderr, service_parser
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store

LOG = logging.getLogger("changeover.console")
MOST_CONNECTIONS = 2000
"""Each may wait for a change: a long poll costs a connection and no thread."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = service_parser(
        "console", __doc__,
        "Started by `changeover up`. Make tokens with `changeover token create`.")
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    log_to_stderr("console")
    home, is_local = Home(arguments.home), is_loopback(arguments.host)
    if not is_local:
        LOG.warning("listening on %s: every read needs a token, too; put TLS in front",
                    arguments.host)
    try:
        store = Store.open(home.store_url)
        plan = plans.load(store, arguments.migration)
        console = Console(Site(home, plan, store), is_local=is_local)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    app = application(console)
    end_when_amended(console.site)
    gc.freeze()  # nothing that exists now ever goes away: the collector need not visit it again
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, log_level="warning", access_log=False,
        # never who asked by `X-Forwarded-For`: anybody can write that header
        server_header=False, proxy_headers=False, timeout_keep_alive=30,
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
