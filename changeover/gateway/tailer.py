"""Following the access log over rotations: no line is skipped, and none is read twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, parse_line, whole_lines
from changeover.gateway.envoy.synthetic import SYNTHETIC

Place = tuple[int, int]
"""(inode, offset) in the access log."""
AT_ONCE = 8 << 20
"""Bytes that are read at once."""
LONGEST = 1 << 30
"""Bytes of a log at which the file before it goes, whoever still needs it."""


class Tailer:
    """Follows the access log over rotations; reads whole lines only.

    Args:
        path: The log. The file before it lies beside it, as `access.log.1`.
        hosts: System by upstream address, for lines that do not name the system.
        position: Where to go on, as `position` said it once; None: at the log's beginning.
        leaves_out: Which long connections are no evidence: the gateway itself ended them.
    """

    def __init__(
        self, path: Path, hosts: dict[str, System], *, position: Place | None = None,
        leaves_out: Callable[[Entry], bool] | None = None,
    ) -> None:
        self.path, self._aside = path, _aside(path)
        self._leaves_out = leaves_out
        self._hosts = hosts
        self.unreadable = 0
        """Lines so far that are no request that can be counted: cut, or written by others."""
        self.dropped = 0
        """Bytes so far that a rotation took away before they were read."""
        self._inode, self._offset = position or (0, 0)

    @property
    def position(self) -> Place:
        """(inode, offset) up to which lines were read."""
        return self._inode, self._offset

    def read(self, limit: int = AT_ONCE) -> list[Entry]:
        """Return the entries written since the last call, at most `limit` bytes of them.

        A file that was replaced is read to its end first when it still lies beside the new one.
        """
        entries: list[Entry] = []
        for path in self._files():
            entries += self._read_file(path, limit)
            if path == self._aside and self._is_unread(path):
                break  # the new file only when the old one is read to its end
        return entries

    def until(self, place: Place, limit: int = AT_ONCE) -> Iterator[list[Entry]]:
        """Yield the entries before a place, `limit` bytes at a time; none when it is passed."""
        while (part := self._before(place)) is not None:
            path, most = part
            reached = self.position
            yield self._read_file(path, min(limit, most))
            if self.position == reached:
                return

    def is_behind(self, within: int = 1 << 20) -> bool:
        """Whether more than `within` bytes are not read yet: after a pause, or in an old file."""
        status = _status(self.path)
        if status is None:
            return False
        return status.st_ino != self._inode or status.st_size - self._offset > within

    def rotate(
        self, max_bytes: int, *, needed: Iterable[Place | None] = (), longest: int = LONGEST
    ) -> bool:
        """Move a file larger than `max_bytes` aside; True when Envoy must reopen its log.

        The file that was moved aside before goes then, and only when it is read to its end and no
        place in it is needed. Until then the log grows, up to `longest` bytes.

        Args:
            max_bytes: A log that is not larger stays.
            needed: Places from which a restart would go on.
            longest: A log that is larger is moved all the same; `dropped` says what was not read.
        """
        size = _size(self.path)
        if size <= max_bytes:
            return False
        aside, present = _inode(self._aside), _inode(self.path)
        is_needed = aside in {self._inode, *(place[0] for place in needed if place is not None)}
        if is_needed and size <= longest:
            return False
        if self._inode != present:  # nothing of it is read yet
            self.dropped += max(0, _size(self._aside) - self._offset) if is_needed else 0
            self._inode, self._offset = present or 0, 0
        self.path.replace(self._aside)
        return True

    def _files(self) -> list[Path]:
        """Return the file being read when it was moved aside, then the present one."""
        aside, present = _inode(self._aside), _inode(self.path)
        files = []
        if aside is not None and aside == self._inode != present:
            files.append(self._aside)
        # Between the rotation and Envoy's reopening there is no file of the first name yet.
        if present is not None:
            files.append(self.path)
        return files

    def _before(self, place: Place) -> tuple[Path, int] | None:
        """Return the file to read next before a place, and how many bytes of it; None: none."""
        inode, offset = place
        for path in self._files():
            number = _inode(path)
            left = offset - (self._offset if number == self._inode else 0)
            if number == inode:
                return (path, left) if left > 0 else None
            # the place is in the newer file
            if path == self._aside and inode == _inode(self.path) and self._is_unread(path):
                return path, AT_ONCE
        return None

    def _is_unread(self, path: Path) -> bool:
        """Whether whole lines of the file being read are left; a last half line does not count."""
        with path.open("rb") as file:
            file.seek(self._offset)
            return b"\n" in file.read(1 << 16)

    def _read_file(self, path: Path, limit: int) -> list[Entry]:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # Another file, or the same one emptied by somebody: it is read from its beginning.
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode, self._offset = status.st_ino, 0
            file.seek(self._offset)
            chunk = file.read(limit)
        # Envoy may be in the middle of the last line; the next read gets it as a whole.
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._offset += len(whole)
        entries = []
        for line in whole_lines(whole):
            entry = parse_line(line, self._hosts)
            if entry is None:
                self.unreadable += 1
            # everything that is measured begins here: what is left out here is in no metric
            elif not (entry.route.endswith(SYNTHETIC) or self._is_left_out(entry)):
                entries.append(entry)
        return entries

    def _is_left_out(self, entry: Entry) -> bool:
        is_asked = entry.long_connection is not None and self._leaves_out is not None
        return is_asked and self._leaves_out is not None and self._leaves_out(entry)


def earliest(path: Path, places: Iterable[Place | None]) -> Place | None:
    """Return which of some places in a log comes first; None when none is in a file that is left.

    Args:
        path: The log.
        places: Some places; None: there is none.
    """
    files = [_inode(_aside(path)), _inode(path)]
    left = [place for place in places if place is not None and place[0] in files]
    return min(left, key=lambda place: (files.index(place[0]), place[1]), default=None)


def _aside(path: Path) -> Path:
    return path.with_suffix(".log.1")


def _inode(path: Path) -> int | None:
    status = _status(path)
    return None if status is None else status.st_ino


def _size(path: Path) -> int:
    status = _status(path)
    return 0 if status is None else status.st_size


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
