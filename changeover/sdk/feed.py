"""A snapshot of flags and routing, refreshed in the background from the store or the console.

Whoever asks gets the last snapshot at once, also while its source is down; `is_stale` says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from changeover.domain.routing import Key
from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable
from changeover.flags.conditions import Context
from changeover.flags.evaluate import EMPTY, Evaluation, Evaluator
from changeover.flags.snapshot import (
    Snapshot,
    from_snapshot_document,
    lists_named_in,
    to_document,
    user_list_of,
)
from changeover.flags.state import BASE
from changeover.machine.files import write_atomically
from changeover.machine.http import new_client
from changeover.plan.user_lists import UserList
from changeover.store import flags
from changeover.store.engine import Store

LOG = logging.getLogger("changeover.sdk.feed")
POLL_SECONDS = 0.2
"""How often the store is asked whether something changed."""
WAIT_SECONDS = 10
"""How long the console may keep a request open while nothing changes."""
LONGEST_PAUSE_SECONDS = 5.0
STOP_SECONDS = 1.0
LARGEST_BYTES = 16 << 20


class Source(Protocol):
    """Where snapshots come from."""

    def next(self, etag: str, stop: threading.Event) -> Snapshot | None:
        """Return a snapshot other than `etag`'s, or None after a while without one.

        Raises:
            ChangeoverError: The source cannot be asked.
        """

    def close(self) -> None:
        """Close connections."""


class StoreSource:
    """Snapshots read from the store, whoever writes there."""

    def __init__(self, store: Store, migration: str, environment: str = BASE) -> None:
        self._store, self._migration, self._environment = store, migration, environment

    def next(self, etag: str, stop: threading.Event) -> Snapshot | None:
        """Return a snapshot when something changed; else wait a moment and return None."""
        if etag and flags.marker(self._store, self._migration, self._environment) == etag:
            stop.wait(POLL_SECONDS)
            return None
        return flags.snapshot(self._store, self._migration, self._environment)

    def close(self) -> None:
        """Leave the store open: it belongs to the caller."""


class ConsoleSource:
    """Snapshots that the console sends as soon as something changes (a long poll with ETag)."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = f"{url.rstrip('/')}/v1/flags/snapshot"
        # The console answers after `WAIT_SECONDS` at the latest; two more for a busy machine.
        timeout = httpx.Timeout(2.0, read=WAIT_SECONDS + 2.0)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = new_client(timeout=timeout, headers=headers)
        self._lists_url = f"{url.rstrip('/')}/v1/flags/lists"
        self._lists: dict[str, UserList] = {}

    def next(self, etag: str, stop: threading.Event) -> Snapshot | None:
        """Ask once; the console answers when something changes or after a while."""
        # Without a snapshot there is nothing to wait for a change of.
        params = {"wait": WAIT_SECONDS if etag else 0}
        headers = {"If-None-Match": f'"{etag}"'} if etag else {}
        try:
            answer = self._client.get(self._url, params=params, headers=headers)
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return None
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                raise ValueError(str(answer.json()["errorDetails"]))
            answer.raise_for_status()
            if len(answer.content) > LARGEST_BYTES:
                raise ValueError(f"the answer has {len(answer.content)} bytes")
            document = answer.json()
            self._read_lists(lists_named_in(document))
            return from_snapshot_document(document, self._lists)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise Unreachable(
                f"the console gives no snapshot: {error}", where=self._url,
                next_step="Start it, or check its address and token") from error

    def _read_lists(self, wanted: Sequence[str]) -> None:
        """Ask for the lists of users that are not known yet: what has a digest never changes."""
        found = {sha256: self._lists[sha256] for sha256 in wanted if sha256 in self._lists}
        for sha256 in wanted:
            if sha256 not in found:
                answer = self._client.get(f"{self._lists_url}/{sha256}").raise_for_status()
                found[sha256] = UserList.restored(answer.content, sha256)
        self._lists = found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@dataclass(frozen=True, slots=True)
class LatestFlags:
    """The snapshot that answers now, and why it may be old (empty when it is not)."""

    evaluator: Evaluator
    problem: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether the source could not be asked lately."""
        return bool(self.problem)


class Feed:
    """Refreshes a snapshot in a thread. Use it as a context manager, or `start` and `stop`.

    Args:
        source: Where snapshots come from.
        cache: File for the last snapshot, so that a start works while the source is down.
    """

    def __init__(self, source: Source, *, cache: Path | None = None) -> None:
        self._source, self._cache = source, cache
        self._latest: LatestFlags | None = None
        self._listeners: list[Callable[[LatestFlags], None]] = []
        self._lock = threading.Lock()
        self._stop, self._first = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._problem = "nobody has asked yet"

    @classmethod
    def from_console(
        cls, url: str, *, token: str | None = None, cache: Path | None = None
    ) -> Feed:
        """Return a feed of the console at `url`."""
        return cls(ConsoleSource(url, token), cache=cache)

    @classmethod
    def from_store(cls, store: Store, migration: str, environment: str = BASE) -> Feed:
        """Return a feed that reads the store itself."""
        return cls(StoreSource(store, migration, environment))

    @property
    def latest(self) -> LatestFlags | None:
        """What answers now; None before the first snapshot."""
        return self._latest

    @property
    def evaluator(self) -> Evaluator:
        """What answers now.

        Raises:
            Unreachable: There has been no snapshot yet.
        """
        latest = self._latest
        if latest is None:
            raise Unreachable(f"there are no flags yet: {self._problem}")
        return latest.evaluator

    def evaluate(self, flag: str, key: Key | None = None, context: Context = EMPTY) -> Evaluation:
        """Return what a flag is for a user; as `Evaluator.evaluate`."""
        return self.evaluator.evaluate(flag, key, context)

    def value(
        self, flag: str, default: Any, key: Key | None = None, context: Context = EMPTY
    ) -> Any:
        """Return a flag's value, or `default` without one; as `Evaluator.value`."""
        latest = self._latest
        if latest is None:
            return default
        return latest.evaluator.value(flag, default, key, context)

    def subscribe(self, listener: Callable[[LatestFlags], None]) -> Callable[[], None]:
        """Call `listener` from the feed's thread at every change and every failed attempt.

        Returns:
            A function that ends this.
        """
        # A new list each time: the feed's thread may be going through the old one.
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return unsubscribe

    def start(self, *, wait: float = 5.0) -> Feed:
        """Start; return once there is a snapshot, perhaps the cached one.

        Raises:
            Unreachable: There is none after `wait` seconds; the feed goes on trying.
        """
        # An event of its own for each thread: one that still waits for the console must not go on
        # when the feed is started again.
        if self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._refresh, args=(self._stop,), name="changeover-flags", daemon=True)
            self._thread.start()
        if not self._first.wait(wait):
            raise Unreachable(f"there are no flags yet: {self._problem}")
        return self

    def stop(self) -> None:
        """End the thread; the last snapshot still answers, and listeners are no longer called.

        A thread that waits for the console's answer ends by itself later.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._source.close()
            thread.join(STOP_SECONDS)

    def __enter__(self) -> Feed:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _refresh(self, stop: threading.Event) -> None:
        pause = POLL_SECONDS
        while True:
            try:
                found = self._source.next(self._etag(), stop)
                if stop.is_set():
                    return
                self._is_up(found)
                pause = POLL_SECONDS
            except Exception as error:  # noqa: BLE001  old answers must never pass for fresh ones
                # `stop` closed the connection: that is no failure.
                if stop.is_set():
                    return
                self._is_down(error)
                stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _etag(self) -> str:
        latest = self._latest
        return latest.evaluator.snapshot.etag if latest else ""

    def _is_up(self, found: Snapshot | None) -> None:
        latest = self._latest
        if found is not None:
            self._problem = ""
            self._serve(LatestFlags(Evaluator(found)))
            self._save(found)
        elif latest is not None and latest.is_stale:
            self._serve(LatestFlags(latest.evaluator))

    def _is_down(self, error: Exception) -> None:
        """Keep serving the last snapshot, marked stale; log unexpected errors."""
        is_foreseen = isinstance(error, ChangeoverError)
        first, *_ = str(error).splitlines() or [""]
        problem = str(error) if is_foreseen else f"{type(error).__name__}: {first}"
        # Once for each problem: it is tried again every few seconds, perhaps all night.
        if problem != self._problem and not is_foreseen:
            LOG.error("flags cannot be read", exc_info=error)
        self._problem = problem
        latest = self._latest
        # Nothing has come yet since the start: better an old snapshot than none.
        if latest is None:
            cached = self._cached()
            if cached is not None:
                self._serve(LatestFlags(cached, problem))
        # Served once more where it is stale already: listeners hear of every failed attempt.
        elif latest.is_stale:
            self._serve(latest)
        else:
            self._serve(LatestFlags(latest.evaluator, problem))

    def _serve(self, latest: LatestFlags) -> None:
        self._latest = latest
        self._first.set()
        for listener in self._listeners:
            try:
                listener(latest)
            # One listener's fault must not stop the others.
            except Exception:
                LOG.exception("a listener failed")

    def _cached(self) -> Evaluator | None:
        """Return the cached snapshot; None when the file cannot be read."""
        if self._cache is None:
            return None
        with contextlib.suppress(OSError, ValueError, LookupError):
            document = json.loads(self._cache.read_text())
            lists = {sha256: UserList.restored(self._beside(sha256).read_bytes(), sha256)
                     for sha256 in lists_named_in(document)}
            return Evaluator(from_snapshot_document(document, lists))
        return None

    def _beside(self, sha256: str) -> Path:
        """Return the file, beside the cache, of a list of users."""
        cache = self._cache or Path()
        return cache.with_name(f"{cache.name}.{sha256}.users")

    def _save(self, snapshot: Snapshot) -> None:
        """Save the snapshot; a full disk costs the cache, not the answers."""
        if self._cache is None:
            return
        with contextlib.suppress(EnvironmentProblem):
            document = to_document(snapshot)
            # first: a cache without its lists could not be read
            lists = {self._beside(sha256): user_list_of(snapshot, sha256)
                     for sha256 in lists_named_in(document)}
            for path, found in lists.items():
                if found is not None and not path.exists():
                    write_atomically(path, found.content)
            write_atomically(self._cache, json.dumps(document))
            for path in self._cache.parent.glob(self._beside("*").name):
                if path not in lists:
                    path.unlink(missing_ok=True)
