"""Folders: a tar archive with a checksum for every file, each file whole or the backup fails."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from changeover.backup import live
from changeover.backup.manifest import checksum
from changeover.errors import ChangeoverError, EnvironmentProblem, Unreachable
from changeover.machine.escaped import escaped

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
    rights: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_by_one: set[Path] = field(default_factory=set)
    """Databases in use of which no copy of one moment could be had."""


def save(source: Path, target: Path, report: _Report) -> tuple[dict[str, Any], list[str]]:
    """Archive a folder; return its facts (each file's SHA-256, each mode and owner) and notes.

    Of a SQLite database that is in use, whose files lie side by side, a copy of one moment is
    archived instead of them. A file that changes while it is read is read again; one that only
    grew, as a log does, is kept as far as it was. Links are kept as links; those that lead out,
    sockets, pipes and devices are noted and not in it. Nor is the folder of the backups, should it
    lie there.

    Raises:
        Unreachable: There is no such folder.
        ChangeoverError: A file changed at each of three attempts, or may not be read.
        OSError: The archive cannot be written.
    """
    if not source.is_dir():
        raise Unreachable("there is no such folder", where=str(source))
    # This very archive grows there.
    backups = target.parent.parent
    entries = sorted(_entries(source, leave=backups))
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        archive = _Archive(tar, source, target.parent)
        _add(archive, source)
        for number, path in enumerate(entries, 1):
            # A database's log is in its copy already, unless no such copy could be had.
            owner = live.owner_of(path)
            if owner is None or owner in archive.one_by_one:
                _add(archive, path)
            report(number, len(entries))
    return {"files": archive.members, "rights": archive.rights}, archive.notes


def _entries(source: Path, leave: Path | None = None) -> Iterator[Path]:
    # `os.walk` passes over what it may not read, in silence: the backup would lack it.
    def failed(error: OSError) -> None:
        what = f"a folder cannot be read: {error.strerror}"
        raise ChangeoverError(what, where=escaped(error.filename))

    for folder, names, files in os.walk(source, onerror=failed):
        place = Path(folder)
        # In place: `os.walk` goes into the names that are left in this very list.
        names[:] = [name for name in names if place / name != leave]
        for name in [*names, *files]:
            yield place / name


def _add(archive: _Archive, path: Path) -> None:
    name = str(path.relative_to(archive.folder))
    try:
        info = archive.tar.gettarinfo(path, arcname=name)
        _note_attributes(archive, path, name)
    except FileNotFoundError:
        return  # removed since the folder was listed
    if info is None:
        archive.notes.append(f"{escaped(name)} is a socket and not in it")
    elif info.issym() and not _stays_inside(name, info.linkname):
        target = escaped(info.linkname)
        archive.notes.append(f"{escaped(name)} is a link that leads out, to {target}, "
                             "and not in it")
    elif info.isdir() or info.issym():
        archive.tar.addfile(info)
        if info.isdir():
            archive.rights[name] = [info.mode & 0o7777, info.uid, info.gid]
    elif info.islnk() and info.linkname in archive.members:
        archive.tar.addfile(info)  # the same file under another name
        archive.members[name] = archive.members[info.linkname]
        archive.rights[name] = archive.rights[info.linkname]
    elif info.isreg() or info.islnk():
        _add_file(archive, path, name)
    else:
        archive.notes.append(f"{escaped(name)} is no file and not in it")


def _note_attributes(archive: _Archive, path: Path, name: str) -> None:
    """Note what an archive does not contain: extended attributes, access lists, holes."""
    try:
        found = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without them
        found = []
    if found:
        names = ", ".join(sorted(map(escaped, found)))
        archive.notes.append(f"{escaped(name)} has attributes that are not in it: {names}")
    facts = path.lstat()
    # `st_blocks` counts 512 bytes each, whatever the file system's blocks are.
    on_disk = facts.st_blocks * 512
    if stat.S_ISREG(facts.st_mode) and on_disk < facts.st_size - _BLOCK:
        text = f"has holes, and is restored without them: {facts.st_size} bytes"
        archive.notes.append(f"{escaped(name)} {text}")


def _stays_inside(name: str, target: str) -> bool:
    # By the texts alone: following the link would tell of this machine, not of the restored copy.
    path = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120
    return not target.startswith("/") and path != ".." and not path.startswith("../")


def _add_file(archive: _Archive, path: Path, name: str) -> None:
    if live.is_in_use(path) and _add_database(archive, path, name):
        return
    for _ in range(ATTEMPTS):
        # A copy first: an archive cannot take back the half of a file that changed.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(archive.scratch)) as copy:
            try:
                found = _read(path, copy)
            except FileNotFoundError:
                return  # removed since the folder was listed
            except PermissionError as error:
                what = f"a file cannot be read: {error.strerror}"
                raise ChangeoverError(what, where=escaped(path)) from error
            if found is None:
                continue
            size, sha, facts, has_grown = found
            copy.seek(0)
            _write(archive, name, facts, (size, sha), file=copy)
            if has_grown:
                archive.notes.append(f"{escaped(name)} grew meanwhile; kept as it began")
            return
    raise ChangeoverError(
        f"the file changed each of the {ATTEMPTS} times that it was read", where=escaped(path),
        next_step="Stop what writes it, or back its folder up by what owns it")


def _write(
    archive: _Archive, name: str, facts: os.stat_result, content: tuple[int, str], *,
    file: IO[bytes],
) -> None:
    """Add a file's content (size and checksum) with the rights and times of the original."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = content[0], facts.st_mode & 0o7777, facts.st_mtime
    info.uid, info.gid = facts.st_uid, facts.st_gid
    archive.tar.addfile(info, file)
    archive.members[name] = content[1]
    archive.rights[name] = [info.mode, info.uid, info.gid]


def _add_database(archive: _Archive, path: Path, name: str) -> bool:
    """Add a SQLite database that is in use as of one moment; False when it cannot be had so."""
    with tempfile.TemporaryDirectory(prefix=".live-", dir=str(archive.scratch)) as place:
        copy = Path(place) / "copy"
        try:
            live.copy(path, copy)
            facts = path.stat()
        except (ChangeoverError, OSError) as error:
            archive.notes.append(
                f"{escaped(name)} is a SQLite database in use and could not be copied as of one "
                f"moment ({error}): its files are kept as they were read, one after another")
            # Then its log belongs in the archive as well: without it the newest rows are lost.
            archive.one_by_one.add(path)
            return False
        with copy.open("rb") as file:
            _write(archive, name, facts, (copy.stat().st_size, checksum(copy)), file=file)
    archive.notes.append(f"{escaped(name)} is a SQLite database in use: a copy of one moment is "
                         "kept, without its -wal, -shm and -journal")
    return True


def _read(
    path: Path, copy: IO[bytes]
) -> tuple[int, str, os.stat_result, bool] | None:
    """Copy a file; return size, checksum, facts and whether it grew; None when it changed."""
    # A file may have become a link or a pipe since it was listed: follow none, wait for none.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        sha = _copied(file, copy, before.st_size)
        after = os.fstat(handle)
        size = before.st_size
        is_whole = copy.tell() == size
        if (before.st_mtime_ns, size) == (after.st_mtime_ns, after.st_size):
            return (size, sha, before, False) if is_whole else None
        # It changed. If its beginning reads the same again, something was only added behind.
        file.seek(0)
        has_grown = after.st_size > size and is_whole
        if has_grown and _copied(file, io.BytesIO(), size, is_kept=False) == sha:
            return size, sha, before, True
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
            tar.extractall(to, filter=_as_it_was, numeric_owner=True)  # noqa: S202  it refuses
    except (tarfile.TarError, EOFError) as error:
        what = f"the archive cannot be unpacked: {error}"
        raise ChangeoverError(what, where=str(archive)) from error
    except OSError as error:
        what = f"the archive cannot be unpacked: {error.strerror}"
        raise EnvironmentProblem(what, where=str(to)) from error


def _as_it_was(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo:
    """Refuse what leads out or is a device, and keep mode and owner, which Python's filter drops.

    The archive has the checksum that its backup says, so its modes are those that were there.
    """
    safe = tarfile.data_filter(member, place)
    return safe.replace(mode=member.mode, uid=member.uid, gid=member.gid, uname=member.uname,
                        gname=member.gname, deep=False)


def changed_rights(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Return what of an unpacked archive has another mode, or owner, than the original had."""
    wrong = []
    for name, (mode, uid, gid) in facts.get("rights", {}).items():
        try:
            found = (folder / name).lstat()
        except OSError:
            continue  # its checksum shows that it is missing
        has = found.st_mode & 0o7777
        if has != mode:
            wrong.append(f"{escaped(name)} has mode {has:o} instead of {mode:o}")
        elif (found.st_uid, found.st_gid) != (uid, gid):
            owner = f"{found.st_uid}:{found.st_gid}"
            wrong.append(f"{escaped(name)} belongs to {owner} instead of {uid}:{gid}")
    return wrong


def problems(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Return which files of an unpacked archive are missing, changed or too many."""
    wanted: dict[str, str] = facts["files"]
    found = {}
    for path in _entries(folder):
        # Links have no content of their own, and no checksum.
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(folder))] = path
    wrong = [f"{escaped(name)} is missing" for name in wanted if name not in found]
    for name in found:
        if name not in wanted:
            wrong.append(f"{escaped(name)} was not backed up")
    for name, path in found.items():
        if name in wanted and checksum(path) != wanted[name]:
            wrong.append(f"{escaped(name)} has another checksum")
    return wrong
