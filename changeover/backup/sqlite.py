"""SQLite: a copy of one moment by the online backup API, while others write."""

from __future__ import annotations

import random
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


def save(source: Path, target: Path, report: _Report) -> tuple[dict[str, Any], list[str]]:
    """Copy a database as it is at one moment; return its facts (rows by table) and notes.

    1. In WAL mode a read transaction is that moment: writers go on beside it. 2. Otherwise each
    write begins the copy again, as SQLite wants it. 3. After five times a read transaction is
    held while it is copied in one step, for which writers wait.

    Args:
        source: The database; it is only read.
        target: The copy.
        report: Called with pages done and pages in total.

    Raises:
        Unreachable: It is not there, is no database, or stayed locked.
        EnvironmentProblem: The copy cannot be written.
    """
    with (
        _clear_errors(source),
        closing(_connect(source)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        is_wal = _is_wal(source)
        if is_wal:
            _pin(reading)
        _copy(reading, copy, report, is_patient=not is_wal)
        # One file, whatever the source was.
        copy.execute("PRAGMA journal_mode=DELETE")
        rows, uncounted = rows_of(copy)
        return {"rows": rows, "journal_mode": "wal" if is_wal else "delete"}, uncounted


def _is_wal(source: Path) -> bool:
    """Whether a database is in WAL mode, by its file: asking SQLite would need its lock.

    Source: https://www.sqlite.org/fileformat.html, section 1.3.3.
    """
    with source.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02"


def _copy(
    reading: sqlite3.Connection, copy: sqlite3.Connection, report: _Report, *, is_patient: bool
) -> None:
    watch = _Watch(report, RESTARTS if is_patient else None)
    try:
        # In parts, with a pause after each: writers get their turn.
        reading.backup(copy, pages=PAGES, sleep=0.01, progress=watch)
    except _Restarted:
        _pin(reading)
        reading.backup(copy, progress=_Watch(report, None))


def _pin(reading: sqlite3.Connection) -> None:
    """Begin a read transaction: nobody else commits, or in WAL mode it sees nothing of it.

    SQLite has no queue for its lock: beside a writer that never rests it is free for moments
    only, so it is asked for often and at odd times.
    """
    began = time.monotonic()
    reading.execute("PRAGMA busy_timeout=0")
    while True:
        try:
            reading.execute("BEGIN")
            # BEGIN alone locks nothing: the transaction's moment is that of its first read.
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            break
        except sqlite3.OperationalError as error:
            reading.execute("ROLLBACK")
            is_locked = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not is_locked or time.monotonic() - began > _STUCK_SECONDS:
                raise
            time.sleep(random.uniform(0.0002, 0.003))  # noqa: S311  no secret depends on it
    reading.execute(f"PRAGMA busy_timeout={int(_TIMEOUT_SECONDS * 1000)}")


class _Watch:
    """Passes progress on, and ends a copy that comes no further: SQLite itself tries for ever."""

    def __init__(self, report: _Report, restarts: int | None) -> None:
        self._report, self._left = report, restarts
        self._done, self._since = -1, time.monotonic()

    def __call__(self, _status: int, remaining: int, total: int) -> None:
        """Take what SQLite says after each part, or after it could not begin one."""
        done = total - remaining
        # Less done than before means that somebody wrote, and SQLite began again.
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


def rows_of(connection: sqlite3.Connection) -> tuple[dict[str, int], list[str]]:
    """Return the number of rows of every table, and of which they cannot be counted, and why.

    A table of an extension (vectors, maps), or with a function of its application, can be read by
    that application only; its pages are copied like all others.
    """
    rows, uncounted = {}, []
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    for (name,) in connection.execute(tables).fetchall():
        # A table's name cannot be a parameter; a quotation mark within is written twice.
        quoted = name.replace('"', '""')
        query = f'SELECT count(*) FROM "{quoted}"'  # noqa: S608
        try:
            rows[name] = int(connection.execute(query).fetchone()[0])
        except sqlite3.Error as error:
            if _is_damage(error):
                raise
            uncounted.append(f"the rows of table {name} cannot be counted here: {error}")
    return rows, uncounted


def problems(path: Path, facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return what is wrong with a copy, and what of it could not be checked here.

    SQLite's own check, and the rows it must have. Indexes by a collation or a function of the
    application are left out of the check: only the application knows their order.
    """
    try:
        with closing(_connect(path)) as connection:
            found, unchecked = _integrity(connection)
            if found:
                return [f"integrity check: {'; '.join(found)}"], unchecked
            rows, uncounted = rows_of(connection)
    except sqlite3.Error as error:
        return [f"cannot be opened: {error}"], []
    # What could not be counted here is unknown, not missing.
    wanted = {}
    for name, number in facts["rows"].items():
        if name in rows or not uncounted:
            wanted[name] = number
    return compared(rows, wanted), [*unchecked, *uncounted]


def _integrity(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Return what SQLite finds, and what it could not check."""
    unchecked: list[str] = []
    # They may call functions.
    connection.execute("PRAGMA ignore_check_constraints=ON")
    # The quick one leaves indexes out, which may need a collation that Python does not have.
    for check in ("integrity_check", "quick_check"):
        try:
            found = [text for (text,) in connection.execute(f"PRAGMA {check}(5)")]
            return ([] if found == ["ok"] else found), unchecked
        except sqlite3.Error as error:
            if _is_damage(error):
                raise
            unchecked = [f"its indexes could not be checked here: {error}"]
    return [], unchecked


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is bad, or cannot be read; not whether something is missing in Python."""
    return not getattr(error, "sqlite_errorname", "").startswith("SQLITE_ERROR")


def set_mode(path: Path, facts: dict[str, Any]) -> None:
    """Give a restored database the journal mode that it had."""
    if facts.get("journal_mode") == "wal":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def compared(rows: dict[str, int], wanted: dict[str, int]) -> list[str]:
    """Return in which tables the rows are not those of the moment of the backup."""
    wrong = []
    for table in sorted({*rows, *wanted}):
        has, needed = rows.get(table), wanted.get(table)
        if has != needed:
            wrong.append(f"table {table} has {'no' if has is None else has} rows instead of "
                         f"{'none' if needed is None else needed}")
    return wrong


def _connect(path: Path) -> sqlite3.Connection:
    # Only a URL can say "read only"; and a `?` in a folder's name must not begin its options.
    url = f"file:{quote(str(path.absolute()))}?mode=ro"
    return sqlite3.connect(url, uri=True, isolation_level=None, timeout=_TIMEOUT_SECONDS)


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
