"""SQLite: a copy of one moment by the online backup API, while others write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable

PAGES = 2_000
"""Pages copied at once, 8 MB of the usual ones."""
RESTARTS = 5
_TIMEOUT_SECONDS = 10.0
_STUCK_SECONDS = 30.0
_Report = Callable[[int, int], None]


class _Restarted(Exception):
    """Somebody wrote, so the copy began again; never seen outside this module."""


def save(source: Path, target: Path, report: _Report) -> dict[str, Any]:
    """Copy a database as it is at one moment and return its facts: rows by table.

    1. In WAL mode a read transaction is that moment: writers go on beside it. 2. Otherwise each
    write begins the copy again, as SQLite wants it. 3. After five times it is copied in one step,
    for which writers wait.

    Args:
        source: The database; it is only read.
        target: The copy.
        report: Told pages done and pages in total.

    Raises:
        Unreachable: It is not there, is no database, or stayed locked.
        EnvironmentProblem: The copy cannot be written.
    """
    with _clear_errors(source), closing(_connect(source)) as reading, \
            closing(sqlite3.connect(target, isolation_level=None)) as copy:
        is_wal = reading.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if is_wal:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        _copy(reading, copy, report, is_patient=not is_wal)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the source was
        return {"rows": rows_of(copy)}


def _copy(
    reading: sqlite3.Connection, copy: sqlite3.Connection, report: _Report, *, is_patient: bool
) -> None:
    try:
        reading.backup(copy, pages=PAGES, sleep=0.01,
                       progress=_Watch(report, RESTARTS if is_patient else None))
    except _Restarted:
        reading.backup(copy, progress=_Watch(report, None))


class _Watch:
    """Passes progress on, and ends a copy that comes no further: SQLite itself tries for ever."""

    def __init__(self, report: _Report, restarts: int | None) -> None:
        self._report, self._left = report, restarts
        self._done, self._since = -1, time.monotonic()

    def __call__(self, _status: int, remaining: int, total: int) -> None:
        """Take what SQLite says after each part, or after it could not begin one."""
        done = total - remaining
        if done > self._done:
            self._since = time.monotonic()
        elif self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise _Restarted
        self._done = done
        if time.monotonic() - self._since > _STUCK_SECONDS:
            raise sqlite3.OperationalError(f"it stayed locked for {_STUCK_SECONDS:.0f} s")
        self._report(done, total)


def rows_of(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of every table."""
    tables = [name for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: int(connection.execute(
        f'SELECT count(*) FROM "{name.replace(chr(34), chr(34) * 2)}"').fetchone()[0])  # noqa: S608
        for name in tables}


def problems(path: Path, facts: dict[str, Any]) -> list[str]:
    """Return what is wrong with a copy: SQLite's own check, and the rows it must have."""
    try:
        with closing(_connect(path)) as connection:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(5)")]
            if found != ["ok"]:
                return [f"integrity check: {'; '.join(found)}"]
            rows = rows_of(connection)
    except sqlite3.Error as error:
        return [f"cannot be opened: {error}"]
    return compared(rows, facts["rows"])


def compared(rows: dict[str, int], wanted: dict[str, int]) -> list[str]:
    """Return in which tables the rows are not those of the moment of the backup."""
    return [
        f"table {table} has {rows.get(table, 'no')} rows instead of {wanted.get(table, 'none')}"
        for table in sorted({*rows, *wanted}) if rows.get(table) != wanted.get(table)
    ]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True,
                           isolation_level=None, timeout=_TIMEOUT_SECONDS)


@contextmanager
def _clear_errors(source: Path) -> Iterator[None]:
    if not source.is_file():
        raise Unreachable("there is no SQLite database", where=str(source))
    try:
        yield
    except sqlite3.Error as error:
        text, name = str(error), getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
            raise EnvironmentProblem(f"the copy cannot be written: {text}", where=str(source),
                                     next_step="Free some space at the backup's target") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise ChangeoverError(f"the database is damaged or none: {text}", where=str(source),
                                  next_step="Mend it first; a copy would be as bad") from error
        raise Unreachable(f"the database cannot be read: {text}", where=str(source)) from error
