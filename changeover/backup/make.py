"""Making a backup: beside its place, renamed into it when everything is on the disk.

    TARGET/.NAME.part/   while it is made; a repeat begins it anew
    TARGET/NAME/         finished: a repeat returns it

A kill at any line leaves no folder that looks like a backup and is none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from changeover.backup import folders, manifest, postgres, sqlite
from changeover.backup.items import (
    DatabaseItem,
    FolderItem,
    Item,
    Progress,
    Report,
    TextItem,
    check_items,
    check_name,
)
from changeover.backup.manifest import Backup, SavedItem, checksum
from changeover.errors import EnvironmentProblem, InvalidInput, Refused

_FULL = (errno.ENOSPC, errno.EDQUOT)


def make_backup(
    items: Sequence[Item], target: Path, *, name: str, now: datetime,
    report: Report = lambda progress: None,
) -> Backup:
    """Make a backup, or return the finished one of the same name.

    Args:
        items: What is backed up.
        target: Folder of all backups.
        name: Of this one.
        now: The present moment, kept as when it was made.
        report: Called with how far each item is.

    Raises:
        InvalidInput: A name cannot be used.
        Refused: Another process makes the same backup.
        Unreachable: A database or a folder is not there.
        EnvironmentProblem: The target cannot be written or is full; nothing half-done is left.
        ChangeoverError: An item cannot be backed up.
    """
    check_name(name)
    check_items(items)
    with alone(target, name) as part:
        # A procedure that was killed runs this step again: the finished backup is the answer.
        if (target / name).exists():
            return manifest.read(target / name)
        try:
            _clear(part)  # what a killed one left
            part.mkdir(mode=0o700)
            saved = tuple(_save(item, part, report) for item in items)
            manifest.write(Backup(part, name, now, saved))
            # Only what is on the disk gets the final name. The name is on the disk with `target`.
            _settle(part)
            part.rename(target / name)
            _sync(target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            _clear(part)
        return manifest.read(target / name)


def backups(target: Path) -> list[Backup]:
    """Return the finished backups in a folder, oldest first; damaged ones are left out."""
    found = []
    paths = sorted(target.iterdir()) if target.is_dir() else []
    for path in paths:
        # Names with a dot are locks, and backups that are being made.
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            found.append(manifest.read(path))
        except InvalidInput:
            continue
    return sorted(found, key=lambda backup: backup.made_at)


def _save(item: Item, part: Path, report: Report) -> SavedItem:
    kind, unit = _kind_of(item)
    file = part / f"{item.name}.{_ENDINGS[kind]}"

    def report_done(done: int, total: int) -> None:
        report(Progress(item.name, done, total, unit))

    facts: dict[str, object] = {}
    notes: list[str] = []
    if isinstance(item, TextItem):
        file.write_text(item.text, encoding="utf-8")
    elif isinstance(item, FolderItem):
        facts, notes = folders.save(item.path, file, report_done)
    elif kind == "postgres":
        facts, notes = postgres.save(item.url, file, report_done)
    else:
        database = make_url(item.url).database or ""
        facts, notes = sqlite.save(Path(database), file, report_done)
    report_done(1, 1)
    # A dump's checksum was made while it was written: it may be too large to read twice.
    sha = facts.pop("sha256", None) or checksum(file)
    return SavedItem(item.name, kind, file.name, file.stat().st_size, str(sha), facts, notes)


_ENDINGS = {"text": "txt", "folder": "tar", "sqlite": "sqlite", "postgres": "dump"}


def _kind_of(item: Item) -> tuple[str, str]:
    """Return an item's kind and the unit of its progress."""
    if isinstance(item, DatabaseItem):
        try:
            backend = make_url(item.url).get_backend_name()
        # Without the URL and its error: both may show the password.
        except SQLAlchemyError:
            where = f"the address of {item.name}"
            raise InvalidInput("this is not a database URL", where=where) from None
        if backend not in ("sqlite", "postgresql"):
            raise InvalidInput(f"{backend} cannot be backed up", where=f"item {item.name}",
                               allowed="sqlite, postgresql")
        return ("sqlite", "pages") if backend == "sqlite" else ("postgres", "tables")
    return ("folder", "files") if isinstance(item, FolderItem) else ("text", "files")


@contextmanager
def alone(target: Path, name: str) -> Iterator[Path]:
    """Hold a backup's name alone; the system lets go of it when the process dies."""
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(target / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield target / f".{name}.part"
    except BlockingIOError:
        raise Refused(f"another process makes or checks the backup {name}", where=str(target),
                      next_step="Try again when it is done") from None
    finally:
        os.close(lock)


def _settle(part: Path) -> None:
    """Give every file its mode and wait until it is on the disk."""
    for path in part.iterdir():
        path.chmod(0o600)
        _sync(path)
    _sync(part)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear(part: Path) -> None:
    if part.exists():
        shutil.rmtree(part)


def _unwritable(target: Path, error: OSError) -> EnvironmentProblem:
    advice = "Name a folder that may be written"
    if error.errno in _FULL:
        advice = "Free some space there, or name another target"
    return EnvironmentProblem(
        f"the backup cannot be written: {error.strerror or error}", where=str(target),
        next_step=f"{advice}; nothing half-done was left")


