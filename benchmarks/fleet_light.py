"""Many simulated nodes in one process: the statements of the product's session, without its Python.

Part of benchmarks/fleet_nodes.py. Two hundred whole sessions in Python need more processors than
the database and the observer that are measured: each of these nodes has a connection to listen and
one to write, sends the same rows in the same transactions and confirms each state that it reads.
"""

from __future__ import annotations

import json
import selectors
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Cursor
from sqlalchemy import make_url

from changeover.analysis.window import Sample
from changeover.node.measuring import SECOND_SETTLES
from changeover.store.samples import values_of

AT_ONCE = 40
SAMPLES = """
INSERT INTO sample (migration, system, resolution, at, gateway, watched, listened, measured,
                    compared, matched, similarity)
SELECT 'fleet', system, 1, %s, %s, 1, 0, measured::json, 0, 0, 0
FROM unnest(%s::text[], %s::text[]) AS made(system, measured)
ON CONFLICT (migration, system, resolution, at, gateway)
DO UPDATE SET watched = excluded.watched, measured = excluded.measured"""
_ROW = "SELECT * FROM gateway_node WHERE migration = 'fleet' AND name = %s FOR UPDATE"
_SIGN = """
UPDATE gateway_node SET state = 'ready', seen = clock_timestamp(), measured_until = %s,
  confirmed_at = CASE WHEN (epoch, version) IS DISTINCT FROM (%s, %s)
                      THEN clock_timestamp() ELSE confirmed_at END,
  epoch = %s, version = %s
WHERE migration = 'fleet' AND name = %s"""
_SLICE = """
INSERT INTO bucket_slice (migration, gateway, weight, start, "end", sums, excluded)
VALUES ('fleet', %s, 5000, %s, %s, %s, '{}') ON CONFLICT (migration, gateway, weight, start)
DO UPDATE SET "end" = excluded."end", sums = excluded.sums"""
_PLACE = """
INSERT INTO bucket_log_place (migration, gateway, inode, "offset") VALUES ('fleet', %s, 1, %s)
ON CONFLICT (migration, gateway) DO UPDATE SET "offset" = excluded."offset" """
_STATE = "SELECT epoch, version, weight FROM routing_state WHERE migration = 'fleet'"


@dataclass(frozen=True)
class Content:
    """What each node sends: seconds as rows, good ones and bad ones, and a minute that grows."""

    good: Sequence[Sequence[tuple[str, str]]]
    bad: Sequence[Sequence[tuple[str, str]]]
    growing: Sequence[bytes]


def rows_of(made: Sequence[Sequence[Sample]]) -> list[list[tuple[str, str]]]:
    """Return made-up seconds as (system, JSON of what was measured)."""
    return [[(str(each.system), json.dumps(values_of("fleet", each)["measured"]))
             for each in second] for second in made]


class Light:
    """One node."""

    def __init__(self, url: str, name: str, content: Content, bad_from: Path) -> None:
        self._address = make_url(url).set(drivername="postgresql").render_as_string(
            hide_password=False)
        self.name, self._content, self._bad_from = name, content, bad_from
        self._lock = threading.Lock()
        # no measurement waits for the disk (`Store.begin`)
        self._work = psycopg.connect(self._address, options="-c synchronous_commit=off")
        self.listens = self.listen()
        self._order, self._weight, self._until = (-1, -1), 0, int(time.time())

    def listen(self) -> psycopg.Connection[Any]:
        """Return a new connection that hears of changes."""
        found = psycopg.connect(self._address, autocommit=True)
        found.execute("LISTEN changeover_routing")
        return found

    def step(self, number: int) -> None:
        """Send a second, a sign of life, and in every other one the sums by bucket."""
        until = int(time.time() - SECOND_SETTLES)
        bad = int(self._bad_from.read_text() or 0) if self._bad_from.exists() else None
        with self._lock, self._work.cursor() as cursor:
            for second in range(self._until, until):
                is_bad = bad is not None and second >= bad and self._weight > 0
                kinds = self._content.bad if is_bad else self._content.good
                systems, measured = zip(*kinds[second % len(kinds)], strict=True)
                cursor.execute(SAMPLES, (second, self.name, list(systems), list(measured)))
                self._work.commit()
            self._until = until
            self._sign(cursor)
            if number % 2:
                self._save_slice(cursor, until)
        self.follow()

    def follow(self) -> None:
        """Read the routing state; confirm one that is new."""
        with self._lock, self._work.cursor() as cursor:
            found: Any = cursor.execute(_STATE).fetchone()
            self._work.rollback()
            order, self._weight = (found[0], found[1]), found[2]
            if order != self._order:
                self._order = order
                self._sign(cursor)

    def _sign(self, cursor: Cursor[Any]) -> None:
        cursor.execute(_ROW, (self.name,)).fetchone()
        cursor.execute("SELECT clock_timestamp()").fetchone()
        cursor.execute(_SIGN, (self._until, *self._order, *self._order, self.name))
        self._work.commit()

    def _save_slice(self, cursor: Cursor[Any], until: int) -> None:
        start = until // 60 * 60
        sums = self._content.growing[min((until - start) // 2, len(self._content.growing) - 1)]
        cursor.execute(_SLICE, (self.name, start, until, sums))
        cursor.execute(_PLACE, (self.name, until))
        self._work.commit()


def listen(nodes: Sequence[Light], is_over: threading.Event) -> None:
    """Have each node follow as soon as the database says that something changed."""
    selector = selectors.DefaultSelector()
    for node in nodes:
        selector.register(node.listens.fileno(), selectors.EVENT_READ, node)
    while not is_over.is_set():
        for key, _ in selector.select(0.5):
            try:
                heard = bool(list(key.data.listens.notifies(timeout=0)))
            except psycopg.Error:
                heard = True  # cut: what came before it listens again is asked for, as nodes do
                selector.unregister(key.fd)
                key.data.listens = key.data.listen()
                selector.register(key.data.listens.fileno(), selectors.EVENT_READ, key.data)
            if heard:
                key.data.follow()


def run(nodes: Sequence[Light], is_over: threading.Event) -> None:
    """Have all nodes send each second, many at once: each waits for its own commits."""
    threading.Thread(target=listen, args=(nodes, is_over), daemon=True).start()
    number = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while not is_over.wait(max(0.0, 1 - (time.time() - SECOND_SETTLES) % 1)):
            number += 1
            list(pool.map(lambda node: node.step(number), nodes))  # noqa: B023  done at once
