"""Files by the handles of their folders, so that nobody can lead us elsewhere in between.

A path is resolved anew at every use, and a folder may have become a symbolic link by then. A
handle stays what it was. So every step goes from an open folder to the next one, never follows a
link (`O_NOFOLLOW`), and knows the mount it is on: Linux says it, and a file's birth, by `statx`.
Elsewhere the device stands for the mount, which misses bind mounts, and nobody knows births.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIBC = ctypes.CDLL(None, use_errno=True)
# the kernel's own numbers: Python's `os.stat` tells neither a file's birth nor its mount
_NOT_FOLLOWED, _NO_AUTOMOUNT, _THE_HANDLE = 0x100, 0x800, 0x1000  # AT_…: flags of the call
_WANTED, _BIRTH, _MOUNT = 0x1FFF, 0x800, 0x1000  # STATX_…: which fields
_NO_REPLACE = 1  # RENAME_NOREPLACE
_LAYOUT = struct.Struct("=IIQIIIHHQQQQ qII qII qII qII IIII Q")
"""`struct statx` of Linux's include/uapi/linux/stat.h, up to `stx_mnt_id`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file without opening it.

    `born` and `modified` are seconds since 1970; `born` is None where the file system records none.
    """

    mode: int
    inode: int
    device: int
    mount: int
    size: int
    modified: float
    born: float | None

    @property
    def is_folder(self) -> bool:
        """A directory, not a link to one."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """A symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_device(self) -> bool:
        """A block or character device."""
        return stat.S_ISBLK(self.mode) or stat.S_ISCHR(self.mode)

    @property
    def identity(self) -> tuple[int, int]:
        """The same for the same file, whatever its name."""
        return self.device, self.inode

    @property
    def since(self) -> float:
        """Since when it exists, as far as can be known: its birth, else its last change."""
        return self.modified if self.born is None else self.born


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a walk: `folder` is the handle it is in, good until the walk goes on."""

    folder: int
    name: str
    facts: Facts
    is_left: bool = False


@dataclass(slots=True)
class _Level:
    name: str
    facts: Facts
    names: list[str] = field(default_factory=list)


def facts_of(folder: int, name: str = "") -> Facts:
    """Return what is known of a name in an open folder, or of the folder itself; follows no link.

    Raises:
        OSError: It is not there, or may not be read.
    """
    # not Linux, or a C library that is older than the call
    if not hasattr(_LIBC, "statx"):
        return _by_stat(folder, name)
    buffer = ctypes.create_string_buffer(256)
    flags = _NOT_FOLLOWED | _NO_AUTOMOUNT | (0 if name else _THE_HANDLE)
    if _LIBC.statx(folder, os.fsencode(name), flags, _WANTED, buffer):
        number = ctypes.get_errno()
        # the C library knows the call, the kernel does not
        if number == errno.ENOSYS:
            return _by_stat(folder, name)
        raise OSError(number, os.strerror(number), name)
    (mask, _, _, _, _, _, mode, _, inode, size, _, _, _, _, _, born, born_ns, _, _, _, _,
     changed, changed_ns, _, _, _, major, minor, mount) = _LAYOUT.unpack_from(buffer)
    device = os.makedev(major, minor)
    # `mask` says which fields the file system knows: the others hold nothing
    birth = born + born_ns / 1e9 if mask & _BIRTH else None
    return Facts(
        mode=mode, inode=inode, device=device, mount=mount if mask & _MOUNT else device, size=size,
        modified=changed + changed_ns / 1e9, born=birth)


def _by_stat(folder: int, name: str) -> Facts:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False) if name else os.fstat(folder)
    return Facts(mode=found.st_mode, inode=found.st_ino, device=found.st_dev, mount=found.st_dev,
                 size=found.st_size, modified=found.st_mtime, born=None)


def open_folder(name: str, folder: int | None = None) -> int:
    """Open a folder in an open one and return its handle; a link is refused by the kernel."""
    return os.open(name, _OPEN, dir_fd=folder)


def names_in(folder: int) -> list[str]:
    """Return the names in an open folder."""
    return os.listdir(folder)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open an absolute path from `/` on, step by step, without following any link.

    Raises:
        OSError: A step is missing, no folder, or a symbolic link.
    """
    with beneath(open_folder("/"), path.parts[1:], is_owned=True) as handle:
        yield handle


@contextmanager
def beneath(
    folder: int, parts: Sequence[str], *, mount: int | None = None, is_owned: bool = False
) -> Iterator[int]:
    """Open a folder below an open one, step by step.

    Args:
        folder: The handle to start from.
        parts: Names, one for each step.
        mount: The mount that must not be left; None allows any.
        is_owned: Whether `folder` is closed, too.

    Raises:
        OSError: A step is missing, no folder, or a symbolic link; EXDEV: it is a mount point.
    """
    # a copy: whoever gave the handle goes on using it
    current = folder if is_owned else os.dup(folder)
    try:
        for part in parts:
            deeper = open_folder(part, current)
            os.close(current)
            current = deeper
            # after it was opened: a mount that appears later cannot get in between
            if mount is not None and facts_of(current).mount != mount:
                raise OSError(errno.EXDEV, "is a mount point", part)
        yield current
    finally:
        os.close(current)


def walk(top: int) -> Iterator[Entry]:
    """Visit everything below an open folder: a folder before what is in it, and again after it.

    Other mounts are named and not entered. One handle is open whatever the depth: the way up is
    `..`, and each folder on it must be the one that was left.

    Raises:
        OSError: A folder cannot be read, or was moved while it was walked (ESTALE).
    """
    current, mount = os.dup(top), facts_of(top).mount
    levels = [_Level("", facts_of(top), names_in(top))]
    try:
        while True:
            level = levels[-1]
            if level.names:
                entry = _entry(current, level.names.pop())
                if entry is None:
                    continue
                yield entry
                if entry.facts.is_folder and entry.facts.mount == mount:
                    current = _down(current, entry)
                    levels.append(_Level(entry.name, entry.facts, names_in(current)))
                continue
            levels.pop()
            if not levels:
                return
            # the folder that was left: the one below may have been moved while we were in it
            current = _moved_to(current, "..", levels[-1].facts)
            yield Entry(current, level.name, level.facts, is_left=True)
    finally:
        os.close(current)


def _entry(folder: int, name: str) -> Entry | None:
    try:
        return Entry(folder, name, facts_of(folder, name))
    except FileNotFoundError:
        return None  # gone since the folder was listed


def _down(current: int, entry: Entry) -> int:
    return _moved_to(current, entry.name, entry.facts)


def _moved_to(current: int, name: str, expected: Facts) -> int:
    """Return the handle one step on and close the present one; it must be the folder expected."""
    found = open_folder(name, current)
    facts = facts_of(found)
    if (facts.identity, facts.mount) != (expected.identity, expected.mount):
        os.close(found)
        raise OSError(errno.ESTALE, "was moved or replaced while it was read", name)
    os.close(current)
    return found


def rename_new(name: str, to: str, *, folder: int, to_folder: int) -> None:
    """Rename without ever replacing what is there.

    Raises:
        FileExistsError: Something has the new name.
        OSError: It could not be renamed.
    """
    if hasattr(_LIBC, "renameat2"):
        if not _LIBC.renameat2(folder, os.fsencode(name), to_folder, os.fsencode(to), _NO_REPLACE):
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), name)
    # This file system cannot do both at once. A file that appears between the two lines below is
    # replaced; there is no way to prevent that here.
    try:
        os.stat(to, dir_fd=to_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, to, src_dir_fd=folder, dst_dir_fd=to_folder)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to)
