"""Writers of a SQLite file wait in line, and whoever waits too long learns who wrote.

SQLite lets one process write at a time and has the others try again at random: some wait for
seconds while others come twice. Here each takes a number first. A file beside the database has
locks on single bytes (of its open description, so threads wait for each other, too):

1. A writer locks the byte of its number: the present nanosecond, so that numbers are in the order
   in which they came.
2. While an earlier number is locked it waits. Those in a hurry (a rollback) have numbers of their
   own, for which all others wait.
3. The first in line locks the byte `_WRITES`, writes into the file who it is, and begins SQLite's
   transaction. At its end it releases both.

A process that is killed releases its bytes by that. One that stands still while it waits delays
nobody: when the lock has been free for an instant, the next in line goes past it. Whoever knows
nothing of the line (another program) is kept out by SQLite's own lock, as ever.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path

from changeover import clock

# far beyond what the file holds: a lock needs no byte to be there, so nothing is ever written there
_WRITES, _NUMBERS, _URGENT = 1 << 60, 1 << 61, 1 << 62
# seconds; a transaction takes some milliseconds, so longer pauses would leave the lock unused
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.005
_STANDS_STILL_SECONDS = 0.05
"""The lock is free for so long: whoever is first in line does not run at present."""
_ENTRY_BYTES = 512
# `struct flock` of Linux on 64 bits: type, whence, start, length, process
_FLOCK = "hhqqixxxx"
_SHM_WRITE_BYTE = 120
"""The byte of `-shm` that SQLite locks for a write transaction (its file format, section 2.3)."""
_IS_SUPPORTED = sys.platform == "linux"

_is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """Have the write transactions of this block go before all others that wait."""
    token = _is_urgent.set(True)
    try:
        yield
    finally:
        _is_urgent.reset(token)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: a process by its role and number, what it does, and since when (Unix time)."""

    role: str
    pid: int
    operation: str
    since: float

    def __str__(self) -> str:
        milliseconds = max(0.0, clock.now().timestamp() - self.since) * 1000
        return f"{self.role} (process {self.pid}): {self.operation}, for {milliseconds:,.0f} ms"


class LineTimeout(Exception):
    """The turn did not come in time."""


class WriteQueue:
    """The line of one database file.

    Args:
        database: The database's file.
        role: Who this process is, for those who wait.
    """

    def __init__(self, database: Path, role: str) -> None:
        self.database = database
        self._path, self._role = f"{database}-queue", role

    @contextlib.contextmanager
    def turn(self, operation: str, seconds: float) -> Iterator[None]:
        """Have the turn to write during the block.

        Where the file cannot be opened (a folder that is read-only) nobody waits in line: the
        database itself then says what is wrong.

        Args:
            operation: What is done, for those who wait.
            seconds: Longest wait.

        Raises:
            LineTimeout: It did not come in time.
        """
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            if _IS_SUPPORTED:
                _wait(handle, time.monotonic() + seconds)
                self._sign(handle, operation)
            yield
        finally:
            if _IS_SUPPORTED:  # a child that was forked just now has the description, too
                _lock(handle, fcntl.F_UNLCK, 0, 0)
            os.close(handle)

    def writer(self) -> str:
        """Return who writes to the database at this moment, for a person; empty when nobody does.

        The kernel is asked who has SQLite's own lock: it may be a program that knows no line.
        """
        signed = self._signed()
        pid = _writer_of(Path(f"{self.database}-shm"))
        if pid is None:
            return str(signed) if signed else ""
        if signed and signed.pid == pid:
            return str(signed)
        return f"{_name_of(pid)} (process {pid}), which is no part of Changeover's services"

    def _sign(self, handle: int, operation: str) -> None:
        # a fixed length: a shorter entry leaves nothing of a longer one behind
        entry = Writer(self._role, os.getpid(), operation, clock.now().timestamp())
        with contextlib.suppress(OSError):  # a full disk: the database says so itself
            os.pwrite(handle, json.dumps(asdict(entry)).encode()[:_ENTRY_BYTES]
                      .ljust(_ENTRY_BYTES), 0)

    def _signed(self) -> Writer | None:
        """Return who has the turn."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if not (_IS_SUPPORTED and _is_locked(handle, _WRITES, 1)):
                return None
            return Writer(**json.loads(os.pread(handle, _ENTRY_BYTES, 0)))
        except (OSError, ValueError, TypeError):  # it is just being written
            return None
        finally:
            os.close(handle)


def _wait(handle: int, deadline: float) -> None:
    """Take a number, and return when it is this one's turn."""
    region = _URGENT if _is_urgent.get() else _NUMBERS
    number = region + time.monotonic_ns()
    # the same nanosecond is taken: the next one is as good
    while not _lock(handle, fcntl.F_WRLCK, number, 1):
        number += 1
    pause, free_since = _FIRST_PAUSE, float("inf")
    while True:
        now = time.monotonic()
        if _is_locked(handle, _WRITES, 1):
            free_since = float("inf")
        else:
            free_since = min(free_since, now)
            is_passed = now - free_since > _STANDS_STILL_SECONDS
            # a number is held while it waits and given back only when the lock is had
            if (is_passed or not _has_earlier(handle, region, number)) and _lock(
                    handle, fcntl.F_WRLCK, _WRITES, 1):
                _lock(handle, fcntl.F_UNLCK, number, 1)
                return
        if now >= deadline:
            raise LineTimeout
        time.sleep(min(pause, max(0.0, deadline - now)))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _has_earlier(handle: int, region: int, number: int) -> bool:
    # bytes before its own: those are the numbers that came earlier
    if _is_locked(handle, region, number - region):
        return True
    # whoever is in a hurry goes before everybody with a common number
    return region == _NUMBERS and _is_locked(handle, _URGENT, 0)


def _lock(handle: int, kind: int, start: int, length: int) -> bool:
    """Set or clear a lock on bytes (length 0: to the end); return whether it was had."""
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK,
                    struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0))
    except OSError:  # somebody else has it
        return False
    return True


def _is_locked(handle: int, start: int, length: int) -> bool:
    """Whether somebody else has a lock on one of the bytes."""
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    found = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, wanted)
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _writer_of(shm: Path) -> int | None:
    """Return the process that has SQLite's write lock, as the kernel lists it."""
    try:
        inode, lines = shm.stat().st_ino, Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:  # 7: POSIX  ADVISORY  WRITE 123 fe:00:4711 120 120
        words = line.split()
        if len(words) == 8 and words[1] == "POSIX" and words[3] == "WRITE":
            is_same = words[5].rpartition(":")[2] == str(inode)
            if is_same and int(words[6]) <= _SHM_WRITE_BYTE <= _end_of(words[7]):
                return int(words[4])
    return None


def _end_of(word: str) -> int:
    return sys.maxsize if word == "EOF" else int(word)


def _name_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "a program"
    return Path(words[0]).name or "a program"
