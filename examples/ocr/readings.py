"""The service's database: the pages that were given to it, and what was read on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from examples.ocr.engine import Reading
from examples.ocr.pages import Page, picture

KEPT = 10_000
"""Readings that are kept; the oldest are deleted."""
_TABLES = """
CREATE TABLE IF NOT EXISTS pages (key TEXT PRIMARY KEY, picture BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS readings (
    id INTEGER PRIMARY KEY, engine TEXT NOT NULL, page TEXT, text TEXT NOT NULL,
    confidence REAL NOT NULL, seconds REAL NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


class Readings:
    """Pages and readings in an SQLite file.

    Args:
        file: The database; it and its folder are made when they are not there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            # readers wait for no writer: the backup reads while pages are being read
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_TABLES)

    def stock(self, pages: Iterable[Page]) -> None:
        """Put pages in; one that is there already stays."""
        rows = [(page.key, picture(page)) for page in pages]
        with self._open() as database:
            database.executemany("INSERT OR IGNORE INTO pages VALUES (?, ?)", rows)

    def keys(self) -> list[str]:
        """Return the names of all pages."""
        with self._open() as database:
            return [key for key, in database.execute("SELECT key FROM pages ORDER BY key")]

    def picture(self, key: str) -> bytes | None:
        """Return a page's picture, or None when there is no such page."""
        with self._open() as database:
            row = database.execute("SELECT picture FROM pages WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def save(self, engine: str, page: str | None, reading: Reading, seconds: float) -> None:
        """Save what was read, and how long it took."""
        with self._open() as database:
            done = database.execute(
                "INSERT INTO readings (engine, page, text, confidence, seconds)"
                " VALUES (?, ?, ?, ?, ?)",
                (engine, page, reading.text, reading.confidence, seconds))
            database.execute("DELETE FROM readings WHERE id <= ?", ((done.lastrowid or 0) - KEPT,))

    def clear(self) -> None:
        """Delete every page and every reading."""
        with self._open() as database:
            database.executescript("DELETE FROM pages; DELETE FROM readings;")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # a connection for each use: it is called from several threads
        with closing(sqlite3.connect(self._file, timeout=10)) as database, database:
            yield database
