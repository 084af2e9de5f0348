"""Folders: a tar archive with a checksum for every file, each file whole or the backup fails."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from changeover.backup.manifest import checksum
from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable
from changeover.printing import printable

ATTEMPTS = 3
_BLOCK = 1 << 20
_IN_MEMORY = 16 << 20
_Report = Callable[[int, int], None]


@dataclass(slots=True)
class _Archive:
    """An archive being written, its files' checksums, and notes for people."""

    tar: tarfile.TarFile
    folder: Path
    scratch: Path
    members: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def save(source: Path, target: Path, report: _Report) -> tuple[dict[str, Any], list[str]]:
    """Archive a folder and return its facts (SHA-256 of each file) and notes.

    A file that changes while it is read is read again; one that only grew, as a log does, is kept
    as far as it was. Links are kept as links; those that lead out, sockets, pipes and devices are
    noted and not in it. Nor is the folder of the backups, should it lie there.

    Raises:
        Unreachable: There is no such folder.
        ChangeoverError: A file changed at each of three attempts, or may not be read.
        OSError: The archive cannot be written.
    """
    if not source.is_dir():
        raise Unreachable("there is no such folder", where=str(source))
    backups = target.parent.parent  # this very archive grows there
    entries = sorted(_entries(source, leave=backups))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        archive = _Archive(tar, source, target.parent)
        for number, path in enumerate(entries, 1):
            _add(archive, path)
            report(number, len(entries))
    return {"files": archive.members}, archive.notes


def _entries(source: Path, leave: Path | None = None) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        raise ChangeoverError(f"a folder cannot be read: {error.strerror}",
                              where=printable(error.filename))

    for folder, names, files in os.walk(source, onerror=failed):
        names[:] = [name for name in names if leave is None or Path(folder) / name != leave]
        yield from (Path(folder) / name for name in [*names, *files])


def _add(archive: _Archive, path: Path) -> None:
    name = str(path.relative_to(archive.folder))
    try:
        info = archive.tar.gettarinfo(path, arcname=name)
    except FileNotFoundError:
        return  # removed since the folder was listed
    if info is None:
        archive.notes.append(f"{printable(name)} is a socket and not in it")
    elif info.issym() and not _stays_inside(name, info.linkname):
        archive.notes.append(f"{printable(name)} is a link that leads out, to "
                             f"{printable(info.linkname)}, and not in it")
    elif info.isdir() or info.issym():
        archive.tar.addfile(info)
    elif info.isreg() or info.islnk():
        _add_file(archive, path, name)
    else:
        archive.notes.append(f"{printable(name)} is no file and not in it")


def _stays_inside(name: str, target: str) -> bool:
    path = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120
    return not target.startswith("/") and path != ".." and not path.startswith("../")


def _add_file(archive: _Archive, path: Path, name: str) -> None:
    for _ in range(ATTEMPTS):
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(archive.scratch)) as copy:
            try:
                found = _read(path, copy)
            except FileNotFoundError:
                return  # removed since the folder was listed
            except PermissionError as error:
                raise ChangeoverError(f"a file cannot be read: {error.strerror}",
                                      where=printable(path)) from error
            if found is None:
                continue
            size, sha, facts, has_grown = found
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = size, facts.st_mode & 0o7777, int(facts.st_mtime)
            info.uid, info.gid = facts.st_uid, facts.st_gid
            copy.seek(0)
            archive.tar.addfile(info, copy)
            archive.members[name] = sha
            if has_grown:
                archive.notes.append(f"{printable(name)} grew meanwhile; kept as it began")
            return
    raise ChangeoverError(
        f"the file changed each of the {ATTEMPTS} times that it was read", where=printable(path),
        next_step="Stop what writes it, or back its folder up by what owns it")


def _read(
    path: Path, copy: IO[bytes]
) -> tuple[int, str, os.stat_result, bool] | None:
    """Copy a file; return size, checksum, facts and whether it grew; None when it changed."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        sha = _copied(file, copy, before.st_size)
        after = os.fstat(handle)
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return (before.st_size, sha, before, False) if copy.tell() == before.st_size else None
        file.seek(0)
        has_grown = after.st_size > before.st_size and copy.tell() == before.st_size
        if has_grown and _copied(file, io.BytesIO(), before.st_size, is_kept=False) == sha:
            return before.st_size, sha, before, True
    return None


def _copied(file: IO[bytes], copy: IO[bytes], size: int, *, is_kept: bool = True) -> str:
    digest, left = hashlib.sha256(), size
    while left and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        if is_kept:
            copy.write(block)
        left -= len(block)
    return digest.hexdigest()


def extract(archive: Path, to: Path) -> None:
    """Unpack an archive into a folder; nothing in it can lead out of that.

    Raises:
        ChangeoverError: It is damaged, or something in it would lead out.
        EnvironmentProblem: The folder cannot be written.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(to, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ChangeoverError(f"the archive cannot be unpacked: {error}",
                              where=str(archive)) from error
    except OSError as error:
        raise EnvironmentProblem(f"the archive cannot be unpacked: {error.strerror}",
                                 where=str(to)) from error


def problems(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Return which files of an unpacked archive are missing, changed or too many."""
    wanted: dict[str, str] = facts["files"]
    found = {str(path.relative_to(folder)): path for path in _entries(folder)
             if path.is_file() and not path.is_symlink()}
    wrong = [f"{printable(name)} is missing" for name in wanted if name not in found]
    wrong += [f"{printable(name)} was not backed up" for name in found if name not in wanted]
    wrong += [f"{printable(name)} has another checksum" for name, path in found.items()
              if name in wanted and checksum(path) != wanted[name]]
    return wrong
