"""SQLite databases that lie in a folder and are in use: their files make sense together only.

A database in WAL mode keeps what was committed last in `-wal`. Copied one after another, the files
are of different moments, and the copy is torn although no file changed while it was read.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from changeover.backup import sqlite

_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal")
_MOMENT_SECONDS = 5.0


def is_in_use(path: Path) -> bool:
    """Whether a file is a SQLite database that was written a moment ago, or whose log is there.

    Without WAL the journal is there only while something is written, and a file's time is too
    coarse to tell of each write.
    """
    if not _is_database(path):
        return False
    has_log = any(_beside(path, end).exists() for end in _COMPANIONS)
    return has_log or time.time() - path.stat().st_mtime < _MOMENT_SECONDS


def owner_of(path: Path) -> Path | None:
    """Return the SQLite database to which a log or journal beside it belongs; None for others."""
    for end in _COMPANIONS:
        if path.name.endswith(end):
            owner = path.with_name(path.name.removesuffix(end))
            return owner if _is_database(owner) else None
    return None


def copy(source: Path, target: Path) -> None:
    """Copy a database as of one moment, with the journal mode that it has.

    Raises:
        ChangeoverError: It is damaged, stays locked, or the copy cannot be written.
    """
    facts, _ = sqlite.save(source, target, lambda done, total: None)
    # The copy is one file without a log; an application that expects WAL gets it back.
    with closing(sqlite3.connect(target)) as connection:
        connection.execute(f"PRAGMA journal_mode={facts['journal_mode']}")


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _is_database(path: Path) -> bool:
    try:
        # By content: applications call their databases what they like.
        with path.open("rb") as file:
            return path.is_file() and file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
