"""Simulated gateway nodes for benchmarks/fleet_scale.py: the product's session without an Envoy.

Each node is the product's own `Session` with its threads, its connections and its statements: it
follows the routing state, listens, gives signs of life, sends one-second sums and sums by bucket.
Only the access log is left out: the sums are those of made-up requests, counted once by the
product's `Accumulator` and `Slicer`, and sent again under each node's name. Nothing is served, so a
state is "served" as soon as it is read.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.fleet_light import Content, Light, rows_of, run
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.window import Sample
from changeover.domain.publications import Publication
from changeover.domain.routing import BUCKETS, RoutingState, System
from changeover.domain.slices import LogPlace, PackedSlice
from changeover.gateway.absent import AbsentGateway
from changeover.gateway.accesslog import Entry
from changeover.node.card import Card
from changeover.node.measuring import SECOND_SETTLES
from changeover.node.own_moves import OwnMoves
from changeover.node.own_plan import of_node
from changeover.node.service import STORE_SECONDS
from changeover.node.session import Session
from changeover.observer.accumulate import Accumulator
from changeover.observer.throttle import Throttle
from changeover.observer.unsaved import Unsaved
from changeover.plan.model import Plan
from changeover.plan.subsets import REST, subset_of_route, subsets_read
from changeover.site.bucket_sums import packed
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, plans, slices
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity

RATE = 5000
"""Requests a second of each node."""
WEIGHT = 5000
BAD_SHARE = 0.3
VARIANTS = 3
"""Different seconds that are sent in turn."""
SLICES_SECONDS = 1.9


class Traffic:
    """What a node measures in a second: made once, by the product's own parts."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._chance = random.Random(seed)
        self._subsets = subsets_read(plan)
        self.good = [self._second(plan, 0.001) for _ in range(VARIANTS)]
        self.bad = [self._second(plan, BAD_SHARE) for _ in range(VARIANTS)]
        # a slice grows while its minute lasts; each two seconds of it are packed once
        self.growing = [self._packed(seconds) for seconds in range(2, 62, 2)]

    def _second(self, plan: Plan, failing: float) -> list[Sample]:
        accumulator = Accumulator(first=0, subsets=self._subsets)
        for entry in self._entries(plan, failing):
            accumulator.add(entry)
        return [each for each in accumulator.pop_changed(1001) if each.at == 1000]

    def _entries(self, plan: Plan, failing: float) -> Iterator[Entry]:
        chance = self._chance
        parts = [*(subset_of_route(each.name) for each in plan.routes), REST]
        for number in range(RATE):
            is_new = number % 2 == 0
            system = System.CANDIDATE if is_new else System.BASELINE
            fails = chance.random() < (failing if is_new else 0.001)
            yield Entry(
                end=1000.5, duration_us=int(chance.lognormvariate(9.2, 0.6)),
                status=503 if fails else chance.choice([200] * 60 + [304, 404, 301]),
                flags=frozenset(), route=f"split:{WEIGHT}:safe",
                key=f"user-{chance.randrange(10_000_000)}", served_by=system, attempts=1,
                chosen=system, body_bytes=chance.randrange(200, 20_000), details="via_upstream",
                subsets=frozenset([chance.choice(parts)]))

    def _packed(self, seconds: int) -> PackedSlice:
        numbers = np.random.default_rng(seconds)
        asked = numbers.poisson(RATE * seconds / BUCKETS, BUCKETS).astype(np.int64)
        failed = numbers.binomial(asked, 0.001).astype(np.int64)
        answered = numbers.binomial(asked, 0.95).astype(np.int64)
        sums = {"requests": asked, "errors": failed, "server_errors": failed,
                "user_errors": failed, "answers": answered,
                "client_errors": numbers.binomial(asked, 0.016).astype(np.int64),
                "redirects": numbers.binomial(asked, 0.016).astype(np.int64)}
        return packed(Slice(WEIGHT, 0, 0, sums))


class Made:
    """In the place of a node's `Measuring`: sends what `Traffic` made.

    Args:
        store: The node's.
        card: The node's.
        traffic: What it measures.
        bad_from: A file with the Unix second from which on the candidate fails.
    """

    def __init__(self, site: Site, card: Card, traffic: Traffic, bad_from: Path) -> None:
        self._site, self._card, self._traffic, self._bad_from = site, card, traffic, bad_from
        self._name, self._throttle = site.gateway.name, Throttle()
        self._unsaved, self._jitter = Unsaved(), random.random() * 0.1
        self._summed = int(time.time())
        self.is_new = threading.Event()

    def tick(self) -> None:
        """Sum the seconds that are over."""
        complete = int(time.time() - SECOND_SETTLES - self._jitter)
        if complete <= self._summed:
            return
        bad = _second_in(self._bad_from)
        for second in range(self._summed, complete):
            on_users = self._card.state is not None and self._card.state.weight > 0
            is_bad = bad is not None and second >= bad and on_users
            made = (self._traffic.bad if is_bad else self._traffic.good)[second % VARIANTS]
            self._unsaved.add([replace(each, at=second, gateway=self._name) for each in made], {})
        self._summed = complete
        self.is_new.set()

    def save(self) -> None:
        """Send it, as `Measuring.save` does."""
        until = self._summed
        self._unsaved.save(self._site.store, self._site.migration)
        self._card.measured_until = until
        if self._throttle.is_due("slices", SLICES_SECONDS):
            self._save_slice(until)

    def _save_slice(self, until: int) -> None:
        start = until // 60 * 60
        content = self._traffic.growing[min((until - start) // 2, 29)]
        one = replace(content, gateway=self._name, start=start, end=until)
        slices.save(self._site.store, self._site.migration, [one], LogPlace(1, until),
                    gateway=self._name)

    def finish(self) -> None:
        """Nothing is left to send."""


class Echo(AbsentGateway):
    """Serves each state at once, and never broke glass."""

    is_here = True

    def journal(self) -> None:
        """Return None: nothing happened here."""
        return

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Serve it."""
        return super().publish(plan, state, timeout=timeout)

    def served(self) -> tuple[int, int] | None:
        """Return what was published last."""
        return self._order


class SimulatedNode:
    """One node: its own connections, its own session."""

    def __init__(self, url: str, name: str, traffic: Traffic, folder: Path) -> None:
        store = Store.open(url, timeout=STORE_SECONDS)
        stored = plans.load(store)
        home = Home(folder / name)
        home.create()
        gateway = Echo(home.gateway_files, store, stored.migration, name=name)
        card = Card(Identity(stored.migration, name, name[-32:], "127.0.0.1:1"), OwnMoves(gateway))
        card.who = gateway_nodes.join(store, card.who)
        card.is_serving = True
        site = Site(home, of_node(stored, None), store, gateway)
        self.session = Session(site, card, plans.digest_of(stored))
        self.made = Made(site, card, traffic, folder.parent / "bad")
        self.session._measuring = self.made  # type: ignore[assignment]


def _run_light(
    asked: argparse.Namespace, store: Store, traffic: Traffic, is_over: threading.Event
) -> None:
    content = Content(
        rows_of(traffic.good), rows_of(traffic.bad), [each.sums for each in traffic.growing])
    nodes = []
    for number in range(asked.first, asked.first + asked.count):
        name = f"edge-{number}"
        gateway_nodes.join(store, Identity("fleet", name, name, "127.0.0.1:1"))
        nodes.append(Light(asked.url, name, content, asked.folder / "bad"))
    run(nodes, is_over)


def _second_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def main() -> int:
    """Simulate nodes until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--url", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--light", action="store_true", help="without the session's Python")
    asked = parser.parse_args()
    is_over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    sys.setswitchinterval(0.001)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        store = Store.open(asked.url)
        traffic = Traffic(plans.load(store), asked.first)
        if asked.light:
            _run_light(asked, store, traffic, is_over)
            return 0
        store.close()
        nodes = [SimulatedNode(asked.url, f"edge-{number}", traffic, Path(folder))
                 for number in range(asked.first, asked.first + asked.count)]
        for node in nodes:
            node.session.start()
        while not is_over.wait(0.05):
            for node in nodes:
                node.made.tick()
    return 0


if __name__ == "__main__":
    sys.exit(main())
