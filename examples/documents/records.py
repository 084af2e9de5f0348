"""The engine's database: every record that it made, written behind the answers.

A lock on it makes nobody wait: what is to be written waits in a queue. Jobs that hold a transaction
are known by name, so that one that is stuck can be ended.
"""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

WAIT_SECONDS = 2.0
"""Longest wait for the database's lock; then the same is tried again."""
_MADE = """
CREATE TABLE IF NOT EXISTS records (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, words INTEGER NOT NULL,
    record TEXT NOT NULL, made_at REAL NOT NULL)
"""
_SAVE = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)"


class Records:
    """The records of one database file.

    Args:
        path: The SQLite file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.written, self._taken = path, 0, 0
        self._rows: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._jobs: dict[str, tuple[float, threading.Event]] = {}
        self._lock = threading.Lock()
        with closing(self._connect()) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_MADE)
        threading.Thread(target=self._write, name="records", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Records that are not in the database yet."""
        return self._taken - self.written

    def save(self, digest: str, record: dict[str, Any]) -> None:
        """Have a record written soon."""
        with self._lock:
            self._taken += 1
        self._rows.put((digest, record["id"], record["kind"], record["words"],
                        json.dumps(record), time.time()))

    def count(self) -> int:
        """Return how many records the database has."""
        with closing(self._connect()) as database:
            return int(database.execute("SELECT count(*) FROM records").fetchone()[0])

    def begin_report(self) -> None:
        """Begin the report of the night, which holds a transaction, and then hangs."""
        over, begun = threading.Event(), threading.Event()
        threading.Thread(target=self._report, args=(over, begun), daemon=True).start()
        begun.wait(WAIT_SECONDS * 2)

    def end_stuck(self, *, older_than: float = 1.0) -> list[str]:
        """Roll back the transactions of jobs that are older than so many seconds."""
        now = time.monotonic()
        with self._lock:
            stuck = {name: over for name, (began, over) in self._jobs.items()
                     if now - began >= older_than}
        for over in stuck.values():
            over.set()
        return sorted(stuck)

    def _report(self, over: threading.Event, begun: threading.Event) -> None:
        with closing(self._connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            with self._lock:
                self._jobs["report"] = time.monotonic(), over
            begun.set()
            # it waits for a printer that never answers
            over.wait()
            database.rollback()
            with self._lock:
                self._jobs.pop("report", None)

    def _write(self) -> None:
        database = self._connect()
        while True:
            row = self._rows.get()
            # a record is never lost to a lock: the same one is tried again
            while not self._saved(database, row):
                time.sleep(0.1)
            self.written += 1

    def _saved(self, database: sqlite3.Connection, row: tuple[Any, ...]) -> bool:
        with suppress(sqlite3.OperationalError):
            with database:
                database.execute(_SAVE, row)
            return True
        return False

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=WAIT_SECONDS, check_same_thread=False)
