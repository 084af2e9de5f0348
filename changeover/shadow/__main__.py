"""Run the shadow service: `python -m changeover.shadow --home DIR --migration NAME`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from pathlib import Path

import uvloop

from changeover.analysis.window import MAIN_GATEWAY
from changeover.errors import ChangeoverError
from changeover.gateway.publish import Gateway
from changeover.shadow.service import LOG, Shadow, service_of
from changeover.shadow.writing import BROKEN, WriterProcess
from changeover.site import rights
from changeover.site.home import Home
from changeover.site.service_main import end_when_amended, log_to_stderr, service_parser
from changeover.site.site import Site
from changeover.store import heartbeats, plans
from changeover.store.engine import Store

NICE = 19
WATCH_SECONDS = 1.0


def main() -> int:
    """Shadow until SIGTERM or SIGINT; return the exit code."""
    parser = service_parser(
        "shadow", __doc__,
        "Started by `changeover up` when the plan has a `shadow` part, and by `changeover gateway "
        "--shadow`.")
    parser.add_argument("--gateway", default=MAIN_GATEWAY, metavar="NAME",
                        help="Whose tap it has: the name of a node; default: the main gateway.")
    arguments = parser.parse_args()
    log_to_stderr("shadow")
    home = Home(arguments.home)
    # A collection writes to every object, after which the fork no longer shares it.
    gc.freeze()
    # Before anything else: a fork may not share threads, connections or a low priority.
    writer = WriterProcess(home)
    try:
        return _shadow(home, arguments.migration, arguments.gateway, writer)
    except ChangeoverError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        writer.close()


def _shadow(home: Home, migration: str, gateway: str, writer: WriterProcess) -> int:
    store = Store.open(home.store_url)
    # before the candidate gets a copy of which nobody would know what came of it
    rights.require_writing(
        store, "shadow", next_step="Give it the rights of `changeover store grants --role shadow`, "
        "or at a node the address of another user in $CHANGEOVER_SHADOW_STORE_URL")
    site = Site(home, plans.load(store, migration), store,
                Gateway(home.gateway_files, name=gateway))
    shadow = Shadow(site, writes=writer)
    _lower_priority()
    amended = end_when_amended(site)
    # Nothing that exists now ever goes away: collections can skip it. And fewer of them: bodies
    # are parsed into hundreds of objects which reference counting frees by itself.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    code = uvloop.run(_run(shadow, writer))
    if not code and gateway != MAIN_GATEWAY:
        _take_leave(site, writer, amended)
    return code


def _take_leave(site: Site, writer: WriterProcess, amended: threading.Event) -> None:
    """Have nobody wait for signs of life of a node's service that was asked to end."""
    own = heartbeats.service_of(site.migration, service_of(site.gateway.name))
    try:
        # it begins again at once, with the plan that is in force now
        if amended.is_set() and plans.load(site.store, site.migration).shadow is not None:
            return
        writer.do(heartbeats.forget, own)
    except ChangeoverError as error:
        LOG.error("not said to the store that this service ends: %s", error)


def _lower_priority() -> None:
    """Lower this process's priority: users' answers come before copies of them.

    On Linux any other process gets the processor from an idle-class process at once, while a nice
    one may finish its slice of some milliseconds first. Linux groups processes by session
    (sched_autogroup), and niceness counts only within a group: so the group is made nice as well.
    """
    os.nice(NICE - os.nice(0))
    # Not Linux, or without such groups.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        Path("/proc/self/autogroup").write_text(str(NICE))


async def _run(shadow: Shadow, writer: WriterProcess) -> int:
    """Shadow until a signal, or until the writing process has ended; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = asyncio.create_task(_watch(writer, stop))
    await shadow.run(stop)
    watch.cancel()
    if writer.has_ended:
        LOG.error("%s, so the service ends and is started again", BROKEN)
    return int(writer.has_ended)


async def _watch(writer: WriterProcess, stop: asyncio.Event) -> None:
    while not writer.has_ended:
        await asyncio.sleep(WATCH_SECONDS)
    # Without it nothing can be saved; the supervisor starts the service again, writer and all.
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
