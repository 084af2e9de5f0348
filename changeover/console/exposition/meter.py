"""One scrape: counts what is new, asks every part, and keeps the text for a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from changeover import clock
from changeover.console.exposition.catalogue import FAMILIES, PARTS
from changeover.console.exposition.counters import Counters
from changeover.console.exposition.family import Scrape
from changeover.console.exposition.scene import Scene
from changeover.console.kept import Kept
from changeover.store import cutovers, routing

if TYPE_CHECKING:
    from changeover.console.context import Console

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEPT_SECONDS = 1.0
"""Several servers that scrape at once cost one look at the store."""


class Meter(Collector):
    """Collects everything about one migration.

    `thread` is the only one that scrapes use: however many come, the others stay free for claims.
    """

    def __init__(self, console: Console) -> None:
        site = console.site
        self._console, self._values = console, Kept()
        self._texts, self._lock = Kept(), threading.Lock()
        self._took: float | None = None
        self._counters = Counters(site.store, site.migration, console.began)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    def kept(self) -> bytes:
        """Return the text of one scrape, at most a second old.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._texts.get("text", KEPT_SECONDS, time.monotonic(), self.text)

    def text(self) -> bytes:
        """Return the text of one scrape.

        Raises:
            StoreError: The store cannot be read.
        """
        # two scrapes at once would count the same seconds twice
        with self._lock:
            began = time.monotonic()
            self._counters.count(clock.now())
            text = generate_latest(self._registry)
            self._took = time.monotonic() - began
        return text

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask the store before the first scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return every metric."""
        site = self._console.site
        scrape = Scrape(site.migration, FAMILIES)
        scene = Scene(
            self._console, self._counters, self._values,
            state=routing.read(site.store, site.migration),
            cutover=cutovers.latest(site.store, site.migration),
            now=clock.now(), took=self._took)
        for part in PARTS:
            part.collect(scene, scrape)
        yield from scrape.metrics()
