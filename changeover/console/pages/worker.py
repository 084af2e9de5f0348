"""The process that renders pages: it begins with the first page and ends when nobody looks.

Reading figures and rendering them takes tens of milliseconds. In the console's own process that
time would be taken from claims and flags, which are answered in less than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from changeover import clock
from changeover.console.kept import Kept
from changeover.console.pages import rendering
from changeover.console.pages.ranges import range_of
from changeover.console.pages.rendering import Rendered
from changeover.console.pages.view import Look
from changeover.console.pages.views import view_of
from changeover.errors import ChangeoverError, StoreError
from changeover.site.elsewhere import by_store
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans
from changeover.store.engine import Store

LOG = logging.getLogger("changeover.console.pages")
IDLE_SECONDS = 300.0
PARENT_SECONDS = 2.0


class Renderer:
    """Renders views in a process of its own.

    Args:
        site: The migration.
    """

    def __init__(self, site: Site) -> None:
        self._given = site.home.root, site.migration, site.gateway.is_here
        self._pool: ProcessPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def render(self, view: str, chosen: str, *, whole: bool = False) -> Rendered:
        """Render a view.

        Args:
            view: Name of the view.
            chosen: Name of the time range.
            whole: Whether the whole page is wanted.

        Raises:
            StoreError: The store cannot be read, or the process died twice.
        """
        loop = asyncio.get_running_loop()
        self._stay(loop)
        for _ in range(2):
            pool = self._pool = self._pool or self._begin()
            try:
                return await loop.run_in_executor(pool, _render, view, chosen, whole)
            except BrokenProcessPool:
                LOG.warning("the process that renders pages died: it is started again")
                # another request may have begun a new one already
                if self._pool is pool:
                    self._pool = None
        raise StoreError("the process that renders pages died twice")

    def close(self) -> None:
        """End the process; the next page begins another."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._timer = None

    def _begin(self) -> ProcessPoolExecutor:
        # never by fork: the console has threads, whose locks a copy would keep for ever
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin, initargs=(*self._given, os.getpid()))

    def _stay(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(IDLE_SECONDS, self.close)


class _Worker:
    """What the rendering process works with; the site is opened by the first look."""

    home: Path
    migration: str
    has_gateway: bool
    site: Site | None = None
    kept = Kept()


def _begin(home: Path, migration: str, has_gateway: bool, parent: int) -> None:
    """Prepare the new process, which ends with the console, also when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _Worker.home, _Worker.migration, _Worker.has_gateway = home, migration, has_gateway
    # a page is never worth more than a claim or a second of the observer
    with contextlib.suppress(OSError):
        os.nice(5)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


def _site() -> Site:
    """Return the site; opened here, so that a store that is away is said and tried again."""
    if _Worker.site is None:
        found = Home(_Worker.home)
        store = Store.open(found.store_url)
        plan = plans.load(store, _Worker.migration)
        _Worker.site = Site(found, plan, store) if _Worker.has_gateway else by_store(
            found.root, plan, store)
    return _Worker.site


def _render(view: str, chosen: str, whole: bool) -> Rendered:
    began = time.process_time()
    try:
        look = Look(_site(), range_of(chosen), clock.now(), _Worker.kept)
        rendered = rendering.render(view_of(view), look, whole=whole)
    except ChangeoverError:
        raise
    # one page that cannot be made must not end its stream without a word
    except Exception as error:
        LOG.exception("page %s cannot be made", view)
        raise ChangeoverError(
            "an unforeseen error: this page cannot be made; the console's log has it") from error
    return replace(rendered, cost=time.process_time() - began)
