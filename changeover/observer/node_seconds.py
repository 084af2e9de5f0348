"""Reads what gateway nodes sent, each row once, however many nodes there are.

A node's sign of life says up to where it sent; from there on its rows are read. Late lines of its
log change seconds of before: once a second the newest ones are compared by the versions of their
rows, and those are opened that have another one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy.orm import Session

from changeover.analysis.window import Sample
from changeover.domain.gateway_nodes import Fleet
from changeover.store import gateway_seconds
from changeover.store.engine import Store
from changeover.store.gateway_seconds import Versions

AGAIN_SECONDS = 4
"""So many newest seconds are looked at again: late lines of a log change them."""
LOOK_SECONDS = 0.9
KEPT_SECONDS = 120
"""Seconds that are older when they come are in the store only, for gates and reports."""


class NodeSeconds:
    """What is new of the nodes' seconds.

    Args:
        store: The store.
        migration: Name of the migration.
        but: Gateways whose rows are not read: their seconds are known from the log.
    """

    def __init__(self, store: Store, migration: str, but: Iterable[str]) -> None:
        self._store, self._migration = store, migration
        self._but = frozenset(but)
        self._reached: dict[str, int] = {}
        # as it was when changes were looked for last; and who was there at the last call
        self._looked_at: dict[str, int] = {}
        self._there: set[str] = set()
        self._known, self._looked = Versions(), float("-inf")

    def read(self, fleet: Fleet) -> list[Sample]:
        """Return the rows that came or changed since the last call.

        Args:
            fleet: The nodes; read before, so that what they say is sent is found.

        Raises:
            StoreError: The store cannot be read; the next call returns what this one did not.
        """
        now, reached = int(time.time()), self._reached_by(fleet)
        live = {node.name: reached[node.name] for node in fleet.live if reached.get(node.name)}
        # one that has gone sent its last seconds just before, and no word says up to where
        gone = self._there - reached.keys()
        # late lines are of before the last look, however long ago that was
        looked = [self._looked_at.get(name, now) for name in (*live, *gone)]
        since = max(now - KEPT_SECONDS, min([now, *live.values(), *looked]) - AGAIN_SECONDS)
        self._known.begin()
        with self._store.read() as session:
            found = self._sent(session, reached, now)
            is_due = bool(gone) or time.monotonic() - self._looked >= LOOK_SECONDS
            if is_due:
                found += self._changed(session, since, now, self._but)
        self._known.commit()
        # not before: a store that fails in between must not leave rows unread
        self._reached |= reached
        self._there = set(reached)
        if is_due:
            self._looked_at |= live
            self._looked = time.monotonic()
        self._known.forget(now - KEPT_SECONDS)
        return found

    def restore(self, fleet: Fleet, since: int) -> list[Sample]:
        """Return what all gateways have in the store from a second on; `read` goes on from there.

        Args:
            fleet: The nodes; read before.
            since: Unix second.

        Raises:
            StoreError: The store cannot be read.
        """
        self._known.begin()
        with self._store.read() as session:
            found = self._changed(session, since, int(time.time()), ())
        self._known.commit()
        self._reached = self._reached_by(fleet)
        self._looked_at = {name: until for name, until in self._reached.items() if until}
        self._there = set(self._reached)
        return found

    def has_any(self, since: int) -> bool:
        """Whether other gateways have seconds from one on.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._store.read() as session:
            return gateway_seconds.has_any(session, self._migration, since, but=self._but)

    def second(self, system: str, at: int) -> list[Sample]:
        """Return what all gateways have in the store of a second.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._store.read() as session:
            return gateway_seconds.of_second(session, self._migration, system, at)

    def _reached_by(self, fleet: Fleet) -> dict[str, int]:
        return {node.name: node.measured_until for node in fleet.counted
                if node.name not in self._but}

    def _sent(self, session: Session, reached: dict[str, int], now: int) -> list[Sample]:
        """Return what nodes say they sent since the last call."""
        starts: dict[int, list[str]] = defaultdict(list)
        for name, until in reached.items():
            before = self._reached.get(name, 0)
            if until == before:
                continue
            # one that started again, or whose clock was set back, sends some seconds once more
            start = before if before < until else 0
            # one that was cut off sends late lines of before, too
            if until - start > AGAIN_SECONDS:
                start -= AGAIN_SECONDS
            starts[max(start, now - KEPT_SECONDS)].append(name)
        found: list[Sample] = []
        for start, names in starts.items():
            # a machine's clock may be somewhat ahead
            found += gateway_seconds.news(
                session, self._migration, range(start, now + KEPT_SECONDS), of=names,
                known=self._known)
        return found

    def _changed(
        self, session: Session, since: int, now: int, but: Collection[str]
    ) -> list[Sample]:
        """Return the rows of seconds since one that are not known as they are."""
        names: dict[int, set[str]] = defaultdict(set)
        for key, version in gateway_seconds.versions(
                session, self._migration, range(since, now + KEPT_SECONDS), but=but).items():
            if not self._known.has(key, version):
                names[key[1]].add(key[2])
        found: list[Sample] = []
        for at, gateways in sorted(names.items()):
            found += gateway_seconds.news(
                session, self._migration, range(at, at + 1), of=gateways, known=self._known)
        return found
