"""Run the load service: `python -m changeover.load --home DIR --migration NAME`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from changeover.errors import ChangeoverError
from changeover.load.service import LOG, LOOK_SECONDS, LoadService, only_one
from changeover.site.home import Home
from changeover.site.service_main import end_when_amended, log_to_stderr, service_parser
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store


def main() -> int:
    """Run what load is wanted until SIGTERM or SIGINT; return the exit code."""
    parser = service_parser(
        "load", __doc__,
        "Started by `changeover up` when a stage of the plan has load (`hooks.during`).")
    arguments = parser.parse_args()
    log_to_stderr("load")
    home = Home(arguments.home)
    try:
        store = Store.open(home.store_url)
        site = Site(home, plans.load(store, arguments.migration), store)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    end_when_amended(site)
    return asyncio.run(_run(site))


async def _run(site: Site) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    handle = None
    while handle is None and not stop.is_set():  # two would double the load
        handle = only_one(site.home.root / "load.lock")
        if handle is None:
            LOG.warning("another process runs the load of %s: this one waits", site.migration)
            await asyncio.sleep(LOOK_SECONDS)
    if handle is not None:
        await LoadService(site).run(stop)
        os.close(handle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
