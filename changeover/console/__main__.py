"""Run the console: `python -m changeover.console --home DIR --migration NAME --port PORT`."""

from __future__ import annotations

import sys

from changeover.console.serving import run
from changeover.errors import ChangeoverError
from changeover.site.home import Home
from changeover.site.service_main import log_to_stderr, service_parser
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = service_parser(
        "console", __doc__,
        "Started by `changeover up`. Make tokens with `changeover token create`.")
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    log_to_stderr("console")
    home = Home(arguments.home)
    try:
        store = Store.open(home.store_url)
        site = Site(home, plans.load(store, arguments.migration), store)
        run(site, arguments.host, arguments.port)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
